// The old name of openpose_ext/options.hpp, for one release.
#pragma once

#include "openpose_ext/options.hpp"

namespace openpose = openpose_ext;
