// The old name of openpose_ext/peaks.hpp, for one release.
#pragma once

#include "openpose_ext/peaks.hpp"

namespace openpose = openpose_ext;
