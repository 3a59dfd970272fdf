// The old name of openpose_ext/limbs.hpp, for one release.
#pragma once

#include "openpose_ext/limbs.hpp"

namespace openpose = openpose_ext;
