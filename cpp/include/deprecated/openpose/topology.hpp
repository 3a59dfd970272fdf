// The old name of openpose_ext/topology.hpp, for one release.
#pragma once

#include "openpose_ext/topology.hpp"

namespace openpose = openpose_ext;
