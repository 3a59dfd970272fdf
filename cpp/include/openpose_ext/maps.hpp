// A view of a network's output: C maps of H x W cells.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "openpose_ext/export.hpp"

namespace openpose_ext {

/// A half-precision number (IEEE 754 binary16) by its bits, as engines hand it over. Cast the
/// engine's own type: `reinterpret_cast<const float16*>(tensor)`.
enum class float16 : std::uint16_t {};

/// The same number as float32, exactly.
[[nodiscard]] inline float to_float(float16 half) {
    const auto bits = static_cast<std::uint32_t>(half);
    const std::uint32_t sign = (bits & 0x8000U) << 16;
    // The exponent is rebased from 15 to 127 by a product, which also makes subnormals right.
    constexpr float kRebase = 0x1p112F;
    const float scaled = std::bit_cast<float>((bits & 0x7fffU) << 13) * kRebase;
    const std::uint32_t special = (bits & 0x7c00U) == 0x7c00U ? 0x7f800000U : 0U;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | special | sign);
}
[[nodiscard]] inline float to_float(float value) { return value; }

/// How packed maps lie in memory: map by map (channels, height, width), as most engines give them,
/// or cell by cell (height, width, channels), as TensorFlow does.
enum class Layout : std::uint8_t { planar, interleaved };

/// Where cells lie: cell (c, y, x) is at first + c * channel + y * row + x * column, in elements.
/// Strides may be negative.
struct Strides {
    std::ptrdiff_t channel = 0;
    std::ptrdiff_t row = 0;
    std::ptrdiff_t column = 1;
    std::ptrdiff_t first = 0;
};

/// Non-owning typed view whose rows are adjacent cells: what the stages walk.
template <class T>
struct Maps {
    const T* data = nullptr;
    int channels = 0;
    int height = 0;
    int width = 0;
    std::ptrdiff_t channel_stride = 0;
    std::ptrdiff_t row_stride = 0;

    [[nodiscard]] const T* row(int channel, int y) const {
        return data + channel * channel_stride + y * row_stride;
    }
    [[nodiscard]] T at(int channel, int y, int x) const { return row(channel, y)[x]; }
};

/// Non-owning view of C x H x W cells of float32 or float16. The memory must outlive the view; it
/// is never written. Both layouts and any strides are accepted; planar maps are read in place,
/// those whose rows are not adjacent cells are packed once into the decoder's memory.
class OPENPOSE_EXT_API MapView {
public:
    MapView() = default;

    /// Packed maps. Throws std::invalid_argument unless `cells` has channels * height * width
    /// elements, of at least one cell a map.
    MapView(std::span<const float> cells, int channels, int height, int width,
            Layout layout = Layout::planar);
    MapView(std::span<const float16> cells, int channels, int height, int width,
            Layout layout = Layout::planar);

    /// Maps with strides, such as a part of a larger tensor. Throws std::invalid_argument unless
    /// every cell lies in `cells` and those of one map less than 2^31 elements apart.
    MapView(std::span<const float> cells, int channels, int height, int width,
            const Strides& strides);
    MapView(std::span<const float16> cells, int channels, int height, int width,
            const Strides& strides);

    [[nodiscard]] int channels() const { return channels_; }
    [[nodiscard]] int height() const { return height_; }
    [[nodiscard]] int width() const { return width_; }
    [[nodiscard]] bool is_half() const { return half_; }
    [[nodiscard]] bool has_adjacent_rows() const { return strides_.column == 1; }

    /// A cell's value. (channel, y, x) must lie in the view.
    [[nodiscard]] float at(int channel, int y, int x) const {
        const std::ptrdiff_t cell =
            channel * strides_.channel + y * strides_.row + x * strides_.column;
        return half_ ? to_float(static_cast<const float16*>(data_)[cell])
                     : static_cast<const float*>(data_)[cell];
    }

    /// The maps as what they are, float16 if `is_half`, else float. Rows must be adjacent cells.
    template <class T>
    [[nodiscard]] Maps<T> as() const {
        return {static_cast<const T*>(data_),
                channels_,
                height_,
                width_,
                strides_.channel,
                strides_.row};
    }
    /// Calls `act` with the one or the other.
    template <class Act>
    decltype(auto) visit(const Act& act) const {
        return half_ ? act(as<float16>()) : act(as<float>());
    }

private:
    template <class T>
    void set(std::span<const T> cells, int channels, int height, int width, const Strides& strides);

    const void* data_ = nullptr;  // of cell (0, 0, 0)
    int channels_ = 0;
    int height_ = 0;
    int width_ = 0;
    bool half_ = false;
    Strides strides_;
};

/// Copies maps into `memory` as packed planar float32 and returns a view of them there, which stays
/// valid as long as `memory` is not touched. For stages called on their own: they need rows of
/// adjacent cells.
[[nodiscard]] OPENPOSE_EXT_API MapView pack(const MapView& maps, std::vector<float>& memory);

/// The value of a cell as the decoder counts it: what is not finite is no confidence at all.
/// Values beyond float32's range, which only float64 maps can hold, are treated alike.
template <class T>
[[nodiscard]] inline T confidence(T value) {
    return std::abs(value) <= static_cast<T>(std::numeric_limits<float>::max()) ? value : T{0};
}
[[nodiscard]] inline float confidence(float16 value) { return confidence(to_float(value)); }

}  // namespace openpose_ext
