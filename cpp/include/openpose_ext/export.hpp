// What a shared library shows; nothing else of it is visible.
#pragma once

// OPENPOSE_EXT_SHARED is set by CMake for those who link the shared library, OPENPOSE_EXT_BUILD for
// the library itself.
#if !defined(OPENPOSE_EXT_SHARED)
#define OPENPOSE_EXT_API
#elif !defined(_WIN32)
#define OPENPOSE_EXT_API __attribute__((visibility("default")))
#elif defined(OPENPOSE_EXT_BUILD)
#define OPENPOSE_EXT_API __declspec(dllexport)
#else
#define OPENPOSE_EXT_API __declspec(dllimport)
#endif
