// The old name of openpose_ext/merge.hpp, for one release.
#pragma once

#include "openpose_ext/merge.hpp"

namespace openpose = openpose_ext;
