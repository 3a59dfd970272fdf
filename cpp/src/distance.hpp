// Distance of two points of the plane.
#pragma once

#include <cmath>

namespace openpose_ext {

/// As std::hypot, which many C libraries are slow at: the squares of floats fit into a double.
[[nodiscard]] inline float distance(float dx, float dy) {
    return static_cast<float>(
        std::sqrt(static_cast<double>(dx) * dx + static_cast<double>(dy) * dy));
}

}  // namespace openpose_ext
