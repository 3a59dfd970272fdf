// The old name of openpose_ext/decode.hpp, for one release.
#pragma once

#include "openpose_ext/decode.hpp"

namespace openpose = openpose_ext;
