// The old name of openpose_ext/maps.hpp, for one release.
#pragma once

#include "openpose_ext/maps.hpp"

namespace openpose = openpose_ext;
