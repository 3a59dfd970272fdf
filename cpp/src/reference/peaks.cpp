#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "openpose/multiversion.hpp"
#include "openpose/reference.hpp"

namespace openpose::reference {

namespace {

constexpr int kRadius = 12;  // 4 sigma of 3 pixels
using Weights = std::array<double, kRadius + 1>;

// Weights of the gaussian at distance 0 to kRadius, summing to 1 over both sides.
Weights gaussian() {
    constexpr double kSigma = 3.0;
    Weights weights{};
    double sum = 0;
    for (int k = -kRadius; k <= kRadius; ++k) sum += std::exp(-0.5 / (kSigma * kSigma) * k * k);
    for (int k = 0; k <= kRadius; ++k) {
        weights[k] = std::exp(-0.5 / (kSigma * kSigma) * k * k) / sum;
    }
    return weights;
}

// Position i of a line of n cells continued by reflection, the edge cell repeated.
int reflected(int i, int n) {
    const int period = 2 * n;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - 1 - i;
}

// out = sum of weighted lines: the centre, then the pairs from the outermost inwards, the order in
// which SciPy adds, so that both round alike.
OPENPOSE_MULTIVERSION
void weigh(const double* const* lines, const double* weights, int count, double* out) {
    const double* centre = lines[kRadius];
    for (int i = 0; i < count; ++i) out[i] = centre[i] * weights[0];
    for (int k = kRadius; k >= 1; --k) {
        const double* before = lines[kRadius - k];
        const double* after = lines[kRadius + k];
        const double weight = weights[k];
        for (int i = 0; i < count; ++i) out[i] += (before[i] + after[i]) * weight;
    }
}

// The smoothed map, row by row.
class Smoother {
public:
    Smoother(int height, int width)
        : height_(height),
          width_(width),
          plane_(static_cast<std::size_t>(height) * width),
          smooth_(plane_.size()),
          line_(width + 2 * kRadius) {}

    template <class T>
    void smooth(Maps<T> heat, int part) {
        for (int y = 0; y < height_; ++y) {
            const T* row = heat.row(part, y);
            for (int x = 0; x < width_; ++x) {
                plane_[index(y, x)] = static_cast<double>(confidence(row[x]));
            }
        }
        std::array<const double*, 2 * kRadius + 1> lines{};
        for (int y = 0; y < height_; ++y) {
            for (int k = -kRadius; k <= kRadius; ++k) {
                lines[kRadius + k] = &plane_[index(reflected(y + k, height_), 0)];
            }
            weigh(lines.data(), weights_.data(), width_, &smooth_[index(y, 0)]);
        }
        for (int y = 0; y < height_; ++y) {
            double* row = &smooth_[index(y, 0)];
            for (int x = -kRadius; x < width_ + kRadius; ++x) {
                line_[kRadius + x] = row[reflected(x, width_)];
            }
            for (int k = 0; k <= 2 * kRadius; ++k) lines[k] = line_.data() + k;
            weigh(lines.data(), weights_.data(), width_, row);
        }
    }

    [[nodiscard]] double heat(int y, int x) const { return plane_[index(y, x)]; }
    // Zero outside the map.
    [[nodiscard]] double at(int y, int x) const {
        const bool inside = y >= 0 && y < height_ && x >= 0 && x < width_;
        return inside ? smooth_[index(y, x)] : 0.0;
    }

private:
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

// Keeps the strongest `most` of all[first, end), in their order; of equal scores the first.
void keep_strongest(std::vector<Candidate>& all, std::size_t first, std::size_t most) {
    if (all.size() - first <= most) return;
    std::vector<double> scores;
    for (std::size_t i = first; i < all.size(); ++i) scores.push_back(all[i].score);
    std::nth_element(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(most - 1),
                     scores.end(), std::greater<double>());
    const double weakest = scores[most - 1];
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    auto ties = static_cast<std::ptrdiff_t>(most) -
                std::count_if(begin, all.end(),
                              [weakest](const Candidate& c) { return c.score > weakest; });
    all.erase(std::remove_if(begin, all.end(),
                             [weakest, &ties](const Candidate& c) {
                                 return c.score < weakest || (c.score == weakest && ties-- <= 0);
                             }),
              all.end());
}

}  // namespace

template <class T>
void find_peaks(Maps<T> heat, int parts, const DecodeOptions& options, Candidates& candidates) {
    candidates.all.clear();
    candidates.begin.assign(1, 0);
    Smoother map(heat.height, heat.width);
    for (int part = 0; part < parts; ++part) {
        map.smooth(heat, part);
        for (int y = 0; y < heat.height; ++y) {
            for (int x = 0; x < heat.width; ++x) {
                const double g = map.at(y, x);
                if (g > options.peak_threshold && g >= map.at(y - 1, x) && g >= map.at(y + 1, x) &&
                    g >= map.at(y, x - 1) && g >= map.at(y, x + 1)) {
                    candidates.all.push_back(
                        {static_cast<double>(x), static_cast<double>(y), map.heat(y, x)});
                }
            }
        }
        keep_strongest(candidates.all, static_cast<std::size_t>(candidates.begin.back()),
                       static_cast<std::size_t>(options.max_peaks));
        candidates.begin.push_back(static_cast<int>(candidates.all.size()));
    }
}

template void find_peaks(Maps<float>, int, const DecodeOptions&, Candidates&);
template void find_peaks(Maps<double>, int, const DecodeOptions&, Candidates&);

}  // namespace openpose::reference
