// Boxes around people.
#pragma once

#include <algorithm>
#include <limits>

namespace openpose_ext {

struct Box {
    float left = 0;
    float top = 0;
    float right = 0;
    float bottom = 0;

    [[nodiscard]] float area() const { return (right - left) * (bottom - top); }
};

/// Of the parts that are there, a pixel larger than they are.
[[nodiscard]] inline Box box_of(const float* keypoints, int parts) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    Box box{kInfinity, kInfinity, -kInfinity, -kInfinity};
    for (int part = 0; part < parts; ++part) {
        const float* point = keypoints + 3 * part;
        if (!(point[2] > 0)) continue;
        box.left = std::min(box.left, point[0]);
        box.top = std::min(box.top, point[1]);
        box.right = std::max(box.right, point[0] + 1);
        box.bottom = std::max(box.bottom, point[1] + 1);
    }
    return box;
}

/// What two boxes share.
[[nodiscard]] inline float common_area(const Box& one, const Box& other) {
    const float width = std::min(one.right, other.right) - std::max(one.left, other.left);
    const float height = std::min(one.bottom, other.bottom) - std::max(one.top, other.top);
    return width > 0 && height > 0 ? width * height : 0;
}

}  // namespace openpose_ext
