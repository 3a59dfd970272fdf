// The old name of openpose_ext/decode_many.hpp, for one release.
#pragma once

#include "openpose_ext/decode_many.hpp"

namespace openpose = openpose_ext;
