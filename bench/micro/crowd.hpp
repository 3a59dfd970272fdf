// Pictures to measure with: crowds of random people, noise, and maps that nobody should send.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>

#include "openpose_ext/decode.hpp"
#include "skeletons.hpp"

namespace openpose_ext::bench {

using testing::Canvas;
using testing::Picture;

/// `people` of log-uniform sizes all over the maps, one part in ten weak or missing, and a little
/// noise: much like ../shared/tools/maps_workload.py draws them. Everything follows from the seed.
inline Picture crowd(int height, int width, int people, unsigned seed = 0) {
    std::mt19937 random(seed);
    const auto uniform = [&random](float low, float high) {
        return std::uniform_real_distribution<float>(low, high)(random);
    };
    Picture picture(height, width);
    const auto tall = static_cast<float>(height);
    const float largest =
        std::max(0.9f * std::min(1.0f, std::pow(5.0f / static_cast<float>(people), 0.4f)), 0.2f);
    for (int person = 0; person < people; ++person) {
        const float size = 0.8f * tall * std::exp(uniform(std::log(0.12f), std::log(largest)));
        const float x = uniform(0.03f, 0.97f) * static_cast<float>(width);
        const float y = uniform(0.2f * size, std::max(tall - size, 0.25f * size));
        for (int k = 0; k < testing::kParts; ++k) {
            const float chance = uniform(0, 1);
            const float strength = chance > 0.1f ? 0.9f : chance > 0.05f ? 0.06f : 0.0f;
            const Peak at = Picture::part(k, x, y, size);
            picture.heat.blob(k, at.x, at.y, strength);
        }
        for (const Limb& limb : picture.topology.limbs) {
            picture.paf.field(limb, Picture::part(limb.a, x, y, size),
                              Picture::part(limb.b, x, y, size));
        }
    }
    std::normal_distribution<float> noise(0, 0.01f);
    for (float& cell : picture.heat.cells()) cell += noise(random);
    for (float& cell : picture.paf.cells()) cell += noise(random);
    return picture;
}

/// Heat in [0, 1), fields in [-1, 1): peaks everywhere.
inline Picture noise(int height, int width) {
    std::mt19937 random(0);
    Picture picture(height, width);
    std::uniform_real_distribution<float> heat(0, 1);
    std::uniform_real_distribution<float> paf(-1, 1);
    for (float& cell : picture.heat.cells()) cell = heat(random);
    for (float& cell : picture.paf.cells()) cell = paf(random);
    return picture;
}

/// Maps of one value.
inline Picture flat(int height, int width, float value) {
    Picture picture(height, width);
    for (Canvas* maps : {&picture.heat, &picture.paf}) {
        for (float& cell : maps->cells()) cell = value;
    }
    return picture;
}

/// Points in network pixels, as decode_body gives them without a geometry.
inline Placement placement_of(const Picture& picture) {
    return Placement::network(8, picture.heat.view());
}

}  // namespace openpose_ext::bench
