// The gaussian that the seed smooths every map with before it looks at it.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "openpose_ext/maps.hpp"

namespace openpose_ext::reference {

/// One map in float64 and its smoothed copy: gaussian of sigma 3, cut at 4 sigma, edges reflected
/// with the edge cell repeated. The bits are SciPy's `gaussian_filter`'s. Reused from map to map.
class Smoother {
public:
    Smoother(int height, int width);

    /// Takes in one map; values that are not finite count as zero.
    template <class T>
    void smooth(Maps<T> heat, int part) {
        for (int y = 0; y < height_; ++y) {
            const T* row = heat.row(part, y);
            for (int x = 0; x < width_; ++x) {
                plane_[index(y, x)] = static_cast<double>(confidence(row[x]));
            }
        }
        filter();
    }

    [[nodiscard]] double heat(int y, int x) const { return plane_[index(y, x)]; }
    /// The smoothed map; zero outside it.
    [[nodiscard]] double at(int y, int x) const {
        const bool inside = y >= 0 && y < height_ && x >= 0 && x < width_;
        return inside ? smooth_[index(y, x)] : 0.0;
    }

private:
    static constexpr int kRadius = 12;  // 4 sigma of 3 pixels
    using Weights = std::array<double, kRadius + 1>;
    using Lines = std::array<const double*, 2 * kRadius + 1>;

    static Weights gaussian();
    void filter();

    [[nodiscard]] std::size_t index(int y, int x) const {
        return static_cast<std::size_t>(y) * width_ + x;
    }

    int height_;
    int width_;
    Weights weights_ = gaussian();
    std::vector<double> plane_;
    std::vector<double> smooth_;
    std::vector<double> line_;
};

}  // namespace openpose_ext::reference
