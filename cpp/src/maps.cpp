#include "openpose_ext/maps.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace openpose_ext {

namespace {

std::string text(std::int64_t value) { return std::to_string(value); }

std::string size_text(int channels, int height, int width) {
    return text(channels) + " maps of " + text(height) + " x " + text(width) + " cells";
}

Strides packed(std::size_t cells, int channels, int height, int width, Layout layout) {
    const bool fits = channels >= 0 && height >= 0 && width >= 0 &&
                      std::int64_t{height} * width <= std::numeric_limits<std::int32_t>::max() &&
                      cells == static_cast<std::size_t>(channels) * height * width;
    if (!fits) {
        throw std::invalid_argument(text(static_cast<std::int64_t>(cells)) + " cells are not " +
                                    size_text(channels, height, width));
    }
    if (layout == Layout::planar) return {std::ptrdiff_t{height} * width, width, 1, 0};
    return {1, std::ptrdiff_t{width} * channels, channels, 0};
}

}  // namespace

template <class T>
void MapView::set(std::span<const T> cells, int channels, int height, int width,
                  const Strides& strides) {
    if (channels < 0 || height < 1 || width < 1) {
        throw std::invalid_argument(size_text(channels, height, width) +
                                    ": at least one cell a map is needed");
    }
    // The cells furthest before and behind the first, and how far those of one map lie apart.
    // __int128 is not portable; doubles are exact far beyond what memory holds.
    double before = 0;
    double behind = 0;
    double apart = 0;
    const double reach[3] = {double(strides.channel) * (channels - 1),
                             double(strides.row) * (height - 1),
                             double(strides.column) * (width - 1)};
    for (int axis = 0; axis < 3; ++axis) {
        (reach[axis] < 0 ? before : behind) += reach[axis];
        if (axis > 0) apart += std::abs(reach[axis]);
    }
    const double first = double(strides.first);
    if (channels > 0 && (first + before < 0 || first + behind >= double(cells.size()))) {
        throw std::invalid_argument(size_text(channels, height, width) + " with strides " +
                                    text(strides.channel) + ", " + text(strides.row) + ", " +
                                    text(strides.column) + " from element " + text(strides.first) +
                                    " leave the " + text(static_cast<std::int64_t>(cells.size())) +
                                    " that there are");
    }
    if (apart > std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("the cells of a map of " + text(height) + " x " + text(width) +
                                    " lie 2^31 elements or more apart");
    }
    data_ = channels > 0 ? cells.data() + strides.first : cells.data();
    channels_ = channels;
    height_ = height;
    width_ = width;
    half_ = sizeof(T) == sizeof(float16);
    strides_ = strides;
}

MapView::MapView(std::span<const float> cells, int channels, int height, int width, Layout layout)
    : MapView(cells, channels, height, width,
              packed(cells.size(), channels, height, width, layout)) {}

MapView::MapView(std::span<const float16> cells, int channels, int height, int width, Layout layout)
    : MapView(cells, channels, height, width,
              packed(cells.size(), channels, height, width, layout)) {}

MapView::MapView(std::span<const float> cells, int channels, int height, int width,
                 const Strides& strides) {
    set(cells, channels, height, width, strides);
}

MapView::MapView(std::span<const float16> cells, int channels, int height, int width,
                 const Strides& strides) {
    set(cells, channels, height, width, strides);
}

MapView pack(const MapView& maps, std::vector<float>& memory) {
    const int channels = maps.channels();
    const int height = maps.height();
    const int width = maps.width();
    const std::size_t map = static_cast<std::size_t>(height) * width;
    memory.resize(channels * map);
    if (channels == 0) return {memory, 0, height, width};
    // In the order of interleaved memory, a row of all channels at a time.
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            float* out = memory.data() + static_cast<std::size_t>(y) * width + x;
            for (int channel = 0; channel < channels; ++channel) {
                out[channel * map] = maps.at(channel, y, x);
            }
        }
    }
    return {memory, channels, height, width};
}

}  // namespace openpose_ext
