// Which version of the core these headers are of. CMake and pyproject.toml read it here.
#pragma once

#define OPENPOSE_EXT_VERSION_MAJOR 0
#define OPENPOSE_EXT_VERSION_MINOR 2
#define OPENPOSE_EXT_VERSION_PATCH 0

#define OPENPOSE_EXT_VERSION_STRING "0.2.0"

/// The version as one number that grows: 1002003 is 1.2.3.
#define OPENPOSE_EXT_VERSION                                                    \
    (OPENPOSE_EXT_VERSION_MAJOR * 1000000 + OPENPOSE_EXT_VERSION_MINOR * 1000 + \
     OPENPOSE_EXT_VERSION_PATCH)
