// The old name of openpose_ext/assemble.hpp, for one release.
#pragma once

#include "openpose_ext/assemble.hpp"

namespace openpose = openpose_ext;
