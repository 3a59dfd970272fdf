// The old name of openpose_ext/assign.hpp, for one release.
#pragma once

#include "openpose_ext/assign.hpp"

namespace openpose = openpose_ext;
