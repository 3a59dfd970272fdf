// Which version of the core these headers are of. CMake reads the numbers from here.
#pragma once

#define OPENPOSE_EXT_VERSION_MAJOR 0
#define OPENPOSE_EXT_VERSION_MINOR 1
#define OPENPOSE_EXT_VERSION_PATCH 0

#define OPENPOSE_EXT_VERSION_STRING "0.1.0"

/// The version as one number that grows: 1002003 is 1.2.3.
#define OPENPOSE_EXT_VERSION                                                    \
    (OPENPOSE_EXT_VERSION_MAJOR * 1000000 + OPENPOSE_EXT_VERSION_MINOR * 1000 + \
     OPENPOSE_EXT_VERSION_PATCH)
