// OpenPose's skeleton of 18 parts, and a person in it to draw.
#pragma once

#include <array>

#include "canvas.hpp"

namespace openpose_ext::testing {

inline constexpr int kParts = 18;

/// A person who stands facing us, the neck at the origin, the ankles at y = 1.
inline constexpr std::array<std::array<float, 2>, kParts> kStanding{{{0, -.16f},
                                                                     {0, 0},
                                                                     {-.17f, .02f},
                                                                     {-.24f, .25f},
                                                                     {-.28f, .46f},
                                                                     {.17f, .02f},
                                                                     {.24f, .25f},
                                                                     {.28f, .46f},
                                                                     {-.1f, .45f},
                                                                     {-.11f, .74f},
                                                                     {-.12f, 1},
                                                                     {.1f, .45f},
                                                                     {.11f, .74f},
                                                                     {.12f, 1},
                                                                     {-.05f, -.2f},
                                                                     {.05f, -.2f},
                                                                     {-.1f, -.17f},
                                                                     {.1f, -.17f}}};

/// Heat and fields of one picture.
struct Picture {
    Topology topology = coco_18();
    Canvas heat;
    Canvas paf;

    Picture(int height, int width)
        : heat(kParts + 1, height, width), paf(topology.paf_channels(), height, width) {}

    [[nodiscard]] static Peak part(int k, float x, float y, float size) {
        return {x + size * kStanding[k][0], y + size * kStanding[k][1], 1};
    }

    /// Draws a person whose neck is at (x, y), `size` cells from neck to ankles. Parts outside the
    /// maps leave no peak.
    void draw(float x, float y, float size) {
        for (int k = 0; k < kParts; ++k) {
            const Peak at = part(k, x, y, size);
            heat.blob(k, at.x, at.y, .9f);
        }
        for (const Limb& limb : topology.limbs) {
            paf.field(limb, part(limb.a, x, y, size), part(limb.b, x, y, size));
        }
    }
};

}  // namespace openpose_ext::testing
