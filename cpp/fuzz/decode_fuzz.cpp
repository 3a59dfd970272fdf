// The whole decoder under libFuzzer: any skeleton, any maps, any options, both modes. It must
// neither crash nor hang, refuse with std::invalid_argument alone, and give sound people.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "openpose_ext/decode.hpp"
#include "openpose_ext/reference.hpp"

namespace {

using namespace openpose_ext;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "unsound: %s\n", what);
    std::abort();
}

// The input as a stream of choices; behind its end everything is zero.
class Choices {
public:
    Choices(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

    std::uint8_t byte() {
        if (left_ == 0) return 0;
        --left_;
        return *data_++;
    }
    // In [low, high].
    int number(int low, int high) { return low + byte() % (high - low + 1); }
    // In [-0.1, 1.1]: some options are out of range.
    double fraction() { return 1.2 * byte() / 255 - 0.1; }
    [[nodiscard]] bool done() const { return left_ == 0; }

private:
    const std::uint8_t* data_;
    std::size_t left_;
};

Topology choose_topology(Choices& choices) {
    Topology topology;
    topology.parts = choices.number(0, 12);
    const int limbs = choices.number(0, 14);
    for (int l = 0; l < limbs; ++l) {
        const std::uint8_t ends = choices.byte();
        // Fields may share channels; 13 parts at most exist, so some limbs are refused.
        topology.limbs.push_back({ends % 13, ends / 13 % 13, choices.number(0, 9),
                                  choices.number(0, 9), choices.byte() % 4 == 0});
    }
    if (topology.parts % 3 == 2) {
        for (std::size_t l = 0; l < topology.limbs.size(); ++l) topology.limbs[l].length = 1.0f + l;
    }
    if (limbs % 2 == 1) topology.feet = {11};  // refused where there are fewer parts
    return topology;
}

DecodeOptions choose_options(Choices& choices) {
    DecodeOptions options;
    if (choices.byte() % 2 == 0) return options;
    options.peak_threshold = choices.fraction();
    options.paf_threshold = choices.fraction();
    options.min_paf_share = choices.fraction();
    options.min_parts = choices.number(0, 4);
    options.min_score = choices.fraction();
    options.assignment = choices.byte() % 2 == 0 ? Assignment::greedy : Assignment::hungarian;
    options.fill = choices.byte() % 2 == 0;
    options.max_peaks = choices.number(0, 255);
    options.max_people = choices.number(-1, 5);
    return options;
}

// Mostly steps of a 64th; some codes stand for what maps should not hold.
float choose_value(Choices& choices) {
    constexpr float kLargest = std::numeric_limits<float>::max();
    constexpr float kHostile[] = {std::numeric_limits<float>::quiet_NaN(),
                                  std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity(),
                                  kLargest,
                                  -kLargest,
                                  std::numeric_limits<float>::denorm_min(),
                                  0.5f * kLargest,
                                  -0.0f};
    const std::uint8_t code = choices.byte();
    if (code >= 248) return kHostile[code - 248];
    return static_cast<float>(static_cast<std::int8_t>(code)) / 64;
}

// Owns the cells of maps that lie in memory as `layout` says: packed, with cells of NaN behind each
// row, upside down, the last map first, or cell by cell; in half precision or not.
class Cells {
public:
    Cells(int channels, int height, int width, int layout, bool half)
        : channels_(channels), height_(height), width_(width), half_(half) {
        const int stride = width + (layout & 1) * 3;
        const std::ptrdiff_t map = std::ptrdiff_t{height} * stride;
        strides_ = {map, stride, 1, 0};
        if ((layout & 8) != 0) strides_ = {1, std::ptrdiff_t{stride} * channels, channels, 0};
        if ((layout & 2) != 0) {
            strides_.first += (height - 1) * strides_.row;
            strides_.row = -strides_.row;
        }
        if ((layout & 4) != 0) {
            strides_.first += (channels - 1) * strides_.channel;
            strides_.channel = -strides_.channel;
        }
        const auto cells = static_cast<std::size_t>(channels) * height * stride;
        stored_.assign(cells, std::numeric_limits<float>::quiet_NaN());
    }

    // Throws std::invalid_argument if there are no cells. Half-precision maps have other values.
    [[nodiscard]] MapView view() {
        if (!half_) return {stored_, channels_, height_, width_, strides_};
        halves_.resize(stored_.size());
        for (std::size_t i = 0; i < stored_.size(); ++i) {
            // The upper bits of a float32, moved to where those of a half are: any value there is.
            const auto bits = std::bit_cast<std::uint32_t>(stored_[i]);
            halves_[i] = static_cast<float16>((bits >> 16 & 0x8000U) | (bits >> 13 & 0x7fffU));
        }
        return {halves_, channels_, height_, width_, strides_};
    }
    [[nodiscard]] float& at(int channel, int y, int x) {
        return stored_[static_cast<std::size_t>(strides_.first + channel * strides_.channel +
                                                y * strides_.row + x * strides_.column)];
    }

    // Sets every cell: to a value each, or all to zero.
    void fill(Choices& choices, bool with_zeros) {
        for (int channel = 0; channel < channels_; ++channel) {
            for (int y = 0; y < height_; ++y) {
                for (int x = 0; x < width_; ++x) {
                    at(channel, y, x) = with_zeros ? 0 : choose_value(choices);
                }
            }
        }
    }

    // One value around a place, pointed like a part's heat or flat like a limb's field.
    void stroke(Choices& choices) {
        const int channel = choices.byte();
        const int row = choices.byte();
        const int column = choices.byte();
        const int shape = choices.byte();
        const float value = choose_value(choices);
        if (channels_ == 0) return;
        const int reach_x = shape & 15;
        const int reach_y = shape >> 5;
        const bool pointed = (shape & 16) != 0;
        for (int y = row - reach_y; y <= row + reach_y; ++y) {
            for (int x = column - reach_x; x <= column + reach_x; ++x) {
                if (y < 0 || y >= height_ || x < 0 || x >= width_) continue;
                const auto away = static_cast<float>(std::abs(x - column) + std::abs(y - row));
                at(channel % channels_, y, x) = pointed ? value / (1 + away) : value;
            }
        }
    }

private:
    int channels_;
    int height_;
    int width_;
    bool half_;
    Strides strides_;
    std::vector<float> stored_;
    std::vector<float16> halves_;
};

void check(const People& people, const Topology& topology, const Placement& placement,
           const DecodeOptions& options) {
    const auto cells = static_cast<std::size_t>(people.count) * topology.parts;
    require(people.parts == topology.parts, "parts");
    require(people.keypoints.size() == 3 * cells && people.filled.size() == cells, "shapes");
    require(options.max_people == 0 || people.count <= options.max_people, "max_people");
    for (int i = 0; i < people.count; ++i) {
        require(std::isfinite(people.scores[i]) && people.scores[i] >= 0, "score");
        require(i == 0 || people.scores[i - 1] >= people.scores[i], "order");
    }
    for (std::size_t i = 0; i < cells; ++i) {
        const float* point = &people.keypoints[3 * i];
        require(point[0] >= 0 && point[0] <= static_cast<float>(placement.width - 1), "x");
        require(point[1] >= 0 && point[1] <= static_cast<float>(placement.height - 1), "y");
        if (people.filled[i] != 0) {
            require(options.fill && point[2] > 0 && point[2] <= kFilledScore, "filled part");
        } else if (point[2] == 0) {
            require(point[0] == 0 && point[1] == 0, "missing part");
        } else {
            require(point[2] > kFilledScore && point[2] <= 1, "seen part");
        }
    }
}

void check(const reference::Result& result, const Topology& topology) {
    const auto rows = static_cast<std::size_t>(topology.parts + 2);
    require(result.subset.size() % rows == 0, "rows");
    const auto candidates = static_cast<double>(result.candidates.all.size());
    for (std::size_t i = 0; i < result.subset.size(); ++i) {
        const double cell = result.subset[i];
        require(std::isfinite(cell), "row");
        const bool is_id = i % rows < static_cast<std::size_t>(topology.parts);
        require(!is_id || (cell >= -1 && cell < candidates), "id");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Choices choices(data, size);
    const std::uint8_t mode = choices.byte();
    const Topology topology = choose_topology(choices);
    const DecodeOptions options = choose_options(choices);
    const int height = choices.number(0, 24);
    const int width = choices.number(0, 40);
    const int layout = choices.byte();
    // Interleaved or half precision, which the reference takes neither of.
    const int kind = mode % 4 == 0 ? 0 : mode >> 3;
    // Channels that do not fit now and then.
    const int odd = choices.byte();
    const int heats = topology.parts + odd % 2 + static_cast<int>(odd == 255);
    const int pafs = topology.paf_channels() + static_cast<int>(odd == 254);
    const Placement placement{0.5 * choices.number(1, 20), 0.5 * choices.number(-20, 20),
                              0.5 * choices.number(1, 20), 0.5 * choices.number(-20, 20),
                              choices.number(1, 200),      choices.number(1, 200)};
    Cells heat(heats, height, width, (layout & 7) | (kind & 8), (kind & 1) != 0);
    Cells paf(pafs, height, width, (layout >> 3 & 7) | (kind >> 1 & 8), (kind & 2) != 0);
    // Drawn maps lead deeper than noise: a person needs maxima and fields that fit.
    const bool drawn = (mode & 4) != 0;
    heat.fill(choices, drawn);
    paf.fill(choices, drawn);
    while (drawn && !choices.done() && height * width > 0) {
        (choices.byte() % 2 == 0 ? heat : paf).stroke(choices);
    }
    try {
        if (mode % 4 == 0) {
            check(reference::decode(heat.view().as<float>(), paf.view().as<float>(), topology,
                                    options),
                  topology);
        } else {
            static Decoder decoder;  // reused, as programs do
            check(decoder.decode(heat.view(), paf.view(), topology, placement, options), topology,
                  placement, options);
        }
    } catch (const std::invalid_argument&) {
        return 0;
    }
    return 0;
}
