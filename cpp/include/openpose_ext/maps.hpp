// A view of a network's output: C maps of H x W cells.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

namespace openpose_ext {

/// Non-owning C x H x W view. Cells of a row are adjacent; strides are in elements and may be
/// negative. The memory must outlive the view.
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

using MapView = Maps<float>;

/// The value of a cell as the decoder counts it: what is not finite is no confidence at all.
/// Values beyond float32's range, which only float64 maps can hold, are treated alike.
template <class T>
[[nodiscard]] inline T confidence(T value) {
    return std::abs(value) <= static_cast<T>(std::numeric_limits<float>::max()) ? value : T{0};
}

}  // namespace openpose_ext
