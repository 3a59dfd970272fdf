#include "openpose_ext/merge.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

#include "clones.hpp"

namespace openpose_ext {

namespace {

constexpr int kTaps = 4;

// The source cells that one merged row or column is read from, and their weights.
struct Taps {
    std::array<int, kTaps> cell;
    std::array<float, kTaps> weight;
};

std::array<float, kTaps> cubic_weights(double t) {
    constexpr double kA = -0.75;
    const auto outer = [](double d) { return ((kA * d - 5 * kA) * d + 8 * kA) * d - 4 * kA; };
    const auto inner = [](double d) { return ((kA + 2) * d - (kA + 3)) * d * d + 1; };
    return {static_cast<float>(outer(t + 1)), static_cast<float>(inner(t)),
            static_cast<float>(inner(1 - t)), static_cast<float>(outer(2 - t))};
}

std::vector<Taps> find_taps(int count, double scale, double shift, int cells) {
    std::vector<Taps> taps(count);
    for (int i = 0; i < count; ++i) {
        // Beyond the edge everything repeats it, so a far position need not be exact.
        const double at = std::clamp(scale * i + shift, -2.0, cells + 1.0);
        const int first = static_cast<int>(std::floor(at)) - 1;
        for (int k = 0; k < kTaps; ++k) taps[i].cell[k] = std::clamp(first + k, 0, cells - 1);
        taps[i].weight = cubic_weights(at - std::floor(at));
    }
    return taps;
}

OPENPOSE_EXT_BODY
void add_rows_body(const float* const* rows, const float* weights, int count, float* out) {
    for (int i = 0; i < count; ++i) {
        out[i] += rows[0][i] * weights[0] + rows[1][i] * weights[1] + rows[2][i] * weights[2] +
                  rows[3][i] * weights[3];
    }
}
OPENPOSE_EXT_CLONES(void, add_rows,
                    (const float* const* rows, const float* weights, int count, float* out),
                    (rows, weights, count, out))

// Resamples one row to the merged columns.
template <class T>
void resample(const T* source, const std::vector<Taps>& columns, float factor, float* out) {
    for (std::size_t x = 0; x < columns.size(); ++x) {
        float sum = 0;
        for (int k = 0; k < kTaps; ++k) {
            sum += confidence(source[columns[x].cell[k]]) * columns[x].weight[k];
        }
        out[x] = factor * sum;
    }
}

void check(const Pass& pass, int channels) {
    if (static_cast<int>(pass.channel.size()) != channels ||
        static_cast<int>(pass.sign.size()) != channels) {
        throw std::invalid_argument("a pass must say where each of " + std::to_string(channels) +
                                    " channels comes from");
    }
    for (const int channel : pass.channel) {
        if (channel < 0 || channel >= pass.maps.channels()) {
            throw std::invalid_argument("channel " + std::to_string(channel) + " of a pass of " +
                                        std::to_string(pass.maps.channels()));
        }
    }
    if (pass.maps.height() < 1 || pass.maps.width() < 1) {
        throw std::invalid_argument("a pass has no cells");
    }
    for (const double value : {pass.scale_x, pass.shift_x, pass.scale_y, pass.shift_y}) {
        if (!std::isfinite(value)) throw std::invalid_argument("a placement is not finite");
    }
    if (!(pass.weight > 0) || !std::isfinite(pass.weight)) {
        throw std::invalid_argument("the weight " + std::to_string(pass.weight) +
                                    " of a pass is not positive");
    }
}

}  // namespace

void merge(const std::vector<Pass>& passes, int channels, int height, int width,
           std::span<float> merged) {
    if (passes.empty()) throw std::invalid_argument("there is no pass to merge");
    for (const Pass& pass : passes) check(pass, channels);
    if (channels < 0 || height < 1 || width < 1 ||
        merged.size() != static_cast<std::size_t>(channels) * height * width) {
        throw std::invalid_argument("merged has " + std::to_string(merged.size()) + " cells, not " +
                                    std::to_string(channels) + " maps of " +
                                    std::to_string(height) + " x " + std::to_string(width));
    }
    choose_isa();

    std::fill(merged.begin(), merged.end(), 0.0f);
    double total = 0;
    for (const Pass& pass : passes) total += pass.weight;
    std::vector<float> across;  // source rows, resampled to the merged columns
    std::vector<float> memory;
    for (const Pass& pass : passes) {
        const MapView maps = pass.maps.has_adjacent_rows() ? pass.maps : pack(pass.maps, memory);
        const auto share = static_cast<float>(pass.weight / total);
        const auto columns = find_taps(width, pass.scale_x, pass.shift_x, maps.width());
        const auto rows = find_taps(height, pass.scale_y, pass.shift_y, maps.height());
        across.resize(static_cast<std::size_t>(maps.height()) * width);
        for (int channel = 0; channel < channels; ++channel) {
            const float factor = share * pass.sign[channel];
            maps.visit([&](const auto& source) {
                for (int y = 0; y < source.height; ++y) {
                    resample(source.row(pass.channel[channel], y), columns, factor,
                             &across[static_cast<std::size_t>(y) * width]);
                }
            });
            for (int y = 0; y < height; ++y) {
                std::array<const float*, kTaps> lines{};
                for (int k = 0; k < kTaps; ++k) {
                    lines[k] = &across[static_cast<std::size_t>(rows[y].cell[k]) * width];
                }
                add_rows(lines.data(), rows[y].weight.data(), width,
                         &merged[(static_cast<std::size_t>(channel) * height + y) * width]);
            }
        }
    }
}

}  // namespace openpose_ext
