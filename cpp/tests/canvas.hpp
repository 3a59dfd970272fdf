// Maps that tests draw themselves: gaussians for parts, unit fields for limbs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "openpose_ext/maps.hpp"
#include "openpose_ext/peaks.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext::testing {

/// Owns C x H x W cells, packed.
class Canvas {
public:
    Canvas(int channels, int height, int width, float value = 0)
        : channels_(channels),
          height_(height),
          width_(width),
          cells_(static_cast<std::size_t>(channels) * height * width, value) {}

    [[nodiscard]] MapView view() const { return {cells_, channels_, height_, width_}; }
    [[nodiscard]] std::vector<float>& cells() { return cells_; }
    [[nodiscard]] float& at(int channel, int y, int x) {
        return cells_[(static_cast<std::size_t>(channel) * height_ + y) * width_ + x];
    }

    /// Draws a part: a gaussian of OpenPose's width (7 pixels at stride 8), the larger value where
    /// two overlap.
    void blob(int channel, float x, float y, float height = 1, float sigma = 0.875f) {
        const float spread = 2 * sigma * sigma;
        for (int row = 0; row < height_; ++row) {
            for (int column = 0; column < width_; ++column) {
                const float dx = static_cast<float>(column) - x;
                const float dy = static_cast<float>(row) - y;
                float& cell = at(channel, row, column);
                const float value = height * std::exp(-(dx * dx + dy * dy) / spread);
                // Tails would lead whoever climbs here from anywhere.
                if (value > 1e-4f) cell = std::max(cell, value);
            }
        }
    }

    /// Draws a limb's field: `strength` times the unit vector from a to b in the cells up to
    /// `reach` from the line between them.
    void field(const Limb& limb, const Peak& a, const Peak& b, float strength = 1,
               float reach = 1) {
        const float dx = b.x - a.x;
        const float dy = b.y - a.y;
        const float length = std::hypot(dx, dy);
        for (int row = 0; row < height_; ++row) {
            for (int column = 0; column < width_; ++column) {
                const float x = static_cast<float>(column) - a.x;
                const float y = static_cast<float>(row) - a.y;
                const float ahead = (x * dx + y * dy) / length;
                const float aside = std::abs(x * dy - y * dx) / length;
                if (aside > reach || ahead < -reach || ahead > length + reach) continue;
                at(limb.paf_x, row, column) = strength * dx / length;
                at(limb.paf_y, row, column) = strength * dy / length;
            }
        }
    }

private:
    int channels_;
    int height_;
    int width_;
    std::vector<float> cells_;
};

/// Peaks given part by part.
inline Peaks peaks_of(const std::vector<std::vector<Peak>>& parts) {
    Peaks peaks;
    peaks.begin.assign(1, 0);
    for (const std::vector<Peak>& part : parts) {
        peaks.all.insert(peaks.all.end(), part.begin(), part.end());
        peaks.begin.push_back(static_cast<int>(peaks.all.size()));
    }
    return peaks;
}

/// Parts in a row, each joined to the next: 0 - 1 - 2 - ...
inline Topology chain(int parts) {
    Topology topology;
    topology.parts = parts;
    for (int k = 0; k + 1 < parts; ++k) topology.limbs.push_back({k, k + 1, 2 * k, 2 * k + 1});
    return topology;
}

}  // namespace openpose_ext::testing
