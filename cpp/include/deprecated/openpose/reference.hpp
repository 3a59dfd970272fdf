// The old name of openpose_ext/reference.hpp, for one release.
#pragma once

#include "openpose_ext/reference.hpp"

namespace openpose = openpose_ext;
