// The old name of openpose_ext/fill.hpp, for one release.
#pragma once

#include "openpose_ext/fill.hpp"

namespace openpose = openpose_ext;
