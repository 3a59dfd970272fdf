#include "smoother.hpp"

#include <cmath>

#include "../clones.hpp"

namespace openpose_ext::reference {

namespace {

// Position i of a line of n cells continued by reflection, the edge cell repeated.
int reflected(int i, int n) {
    const int period = 2 * n;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - 1 - i;
}

// out = sum of weighted lines: the centre, then the pairs from the outermost inwards, the order in
// which SciPy adds, so that both round alike.
OPENPOSE_EXT_BODY
void weigh_body(const double* const* lines, const double* weights, int radius, int count,
                double* out) {
    const double* centre = lines[radius];
    for (int i = 0; i < count; ++i) out[i] = centre[i] * weights[0];
    for (int k = radius; k >= 1; --k) {
        const double* before = lines[radius - k];
        const double* after = lines[radius + k];
        const double weight = weights[k];
        for (int i = 0; i < count; ++i) out[i] += (before[i] + after[i]) * weight;
    }
}
OPENPOSE_EXT_CLONES(void, weigh,
                    (const double* const* lines, const double* weights, int radius, int count,
                     double* out),
                    (lines, weights, radius, count, out))

}  // namespace

Smoother::Smoother(int height, int width)
    : height_(height),
      width_(width),
      plane_(static_cast<std::size_t>(height) * width),
      smooth_(plane_.size()),
      line_(width + 2 * kRadius) {
    choose_isa();
}

// Weights of the gaussian at distance 0 to kRadius, summing to 1 over both sides.
Smoother::Weights Smoother::gaussian() {
    constexpr double kSigma = 3.0;
    Weights weights{};
    double sum = 0;
    for (int k = -kRadius; k <= kRadius; ++k) sum += std::exp(-0.5 / (kSigma * kSigma) * k * k);
    for (int k = 0; k <= kRadius; ++k) {
        weights[k] = std::exp(-0.5 / (kSigma * kSigma) * k * k) / sum;
    }
    return weights;
}

void Smoother::filter() {
    Lines lines{};
    for (int y = 0; y < height_; ++y) {
        for (int k = -kRadius; k <= kRadius; ++k) {
            lines[kRadius + k] = &plane_[index(reflected(y + k, height_), 0)];
        }
        weigh(lines.data(), weights_.data(), kRadius, width_, &smooth_[index(y, 0)]);
    }
    for (int y = 0; y < height_; ++y) {
        double* row = &smooth_[index(y, 0)];
        for (int x = -kRadius; x < width_ + kRadius; ++x) {
            line_[kRadius + x] = row[reflected(x, width_)];
        }
        for (int k = 0; k <= 2 * kRadius; ++k) lines[k] = line_.data() + k;
        weigh(lines.data(), weights_.data(), kRadius, width_, row);
    }
}

}  // namespace openpose_ext::reference
