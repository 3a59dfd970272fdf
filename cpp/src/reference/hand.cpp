#include "openpose_ext/hand.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "openpose_ext/reference.hpp"
#include "smoother.hpp"

namespace openpose_ext::reference {

namespace {

constexpr double kThreshold = 0.05;  // the smoothed heat of a point's component exceeds it

// Labels of the connected components of a mask, 1, 2, ... in the raster order of their first
// pixels; 0 is outside. Diagonal neighbours are connected.
class Components {
public:
    Components(int height, int width)
        : height_(height), width_(width), label_(static_cast<std::size_t>(height) * width) {}

    // Labels the pixels whose smoothed heat exceeds the threshold; returns how many there are.
    int find(const Smoother& map) {
        for (int y = 0; y < height_; ++y) {
            for (int x = 0; x < width_; ++x) at(y, x) = map.at(y, x) > kThreshold ? kOpen : 0;
        }
        int count = 0;
        for (int y = 0; y < height_; ++y) {
            for (int x = 0; x < width_; ++x) {
                if (at(y, x) == kOpen) flood(y, x, ++count);
            }
        }
        return count;
    }

    [[nodiscard]] int& at(int y, int x) { return label_[static_cast<std::size_t>(y) * width_ + x]; }

private:
    static constexpr int kOpen = -1;  // in the mask, not labelled yet

    void flood(int first_y, int first_x, int label) {
        at(first_y, first_x) = label;
        open_.assign(1, {first_y, first_x});
        while (!open_.empty()) {
            const auto [y, x] = open_.back();
            open_.pop_back();
            for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, height_ - 1); ++ny) {
                for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, width_ - 1); ++nx) {
                    if (at(ny, nx) != kOpen) continue;
                    at(ny, nx) = label;
                    open_.emplace_back(ny, nx);
                }
            }
        }
    }

    int height_;
    int width_;
    std::vector<int> label_;
    std::vector<std::pair<int, int>> open_;
};

// The component with the largest sum of unsmoothed heat; of equal ones the first.
int find_strongest(const Smoother& map, Components& components, int count, int height, int width) {
    std::vector<double> sums(count);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const int label = components.at(y, x);
            if (label > 0) sums[label - 1] += map.heat(y, x);
        }
    }
    return static_cast<int>(std::max_element(sums.begin(), sums.end()) - sums.begin()) + 1;
}

// The first pixel in raster order with the largest heat, all outside the component being zero: a
// component without positive heat loses to the first pixel outside it, as in the seed.
Candidate find_highest(const Smoother& map, Components& components, int label, int height,
                       int width) {
    Candidate best{0, 0, -std::numeric_limits<double>::infinity()};
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const double value = components.at(y, x) == label ? map.heat(y, x) : 0.0;
            if (value > best.score) {
                best = {static_cast<double>(x), static_cast<double>(y), value};
            }
        }
    }
    return best;
}

}  // namespace

template <class T>
std::vector<Candidate> find_hand(Maps<T> heat) {
    check_hand_maps(heat.channels, heat.height, heat.width);
    std::vector<Candidate> points(kHandPoints);
    Smoother map(heat.height, heat.width);
    Components components(heat.height, heat.width);
    for (int part = 0; part < kHandPoints; ++part) {
        map.smooth(heat, part);
        const int count = components.find(map);
        if (count == 0) continue;
        const int label = find_strongest(map, components, count, heat.height, heat.width);
        points[part] = find_highest(map, components, label, heat.height, heat.width);
    }
    return points;
}

template OPENPOSE_EXT_API std::vector<Candidate> find_hand(Maps<float>);
template OPENPOSE_EXT_API std::vector<Candidate> find_hand(Maps<double>);

}  // namespace openpose_ext::reference
