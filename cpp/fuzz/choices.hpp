// What the fuzz targets share: the input as choices, maps made of them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "openpose_ext/maps.hpp"

namespace openpose_ext::fuzz {

inline void require(bool holds, const char* what) {
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

// Mostly steps of a 64th; some codes stand for what maps should not hold.
inline float choose_value(Choices& choices) {
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

}  // namespace openpose_ext::fuzz
