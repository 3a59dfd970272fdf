// The old name of openpose_ext/hand.hpp, for one release.
#pragma once

#include "openpose_ext/hand.hpp"

namespace openpose = openpose_ext;
