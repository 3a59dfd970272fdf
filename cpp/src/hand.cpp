#include "openpose_ext/hand.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "stages.hpp"

namespace openpose_ext {

namespace {

// The largest of a row's values that are numbers and not infinite; 0 if none is above.
template <class T>
float highest_of(const T* row, int width) {
    float highest = 0;
    for (int x = 0; x < width; ++x) highest = std::max(highest, confidence(row[x]));
    return highest;
}

// The highest cell of a map, located below the cell; a score of 0 if nothing is above 0.
template <class T>
Peak find_highest(const Maps<T>& heat, int part) {
    float highest = 0;
    int at_y = 0;
    for (int y = 0; y < heat.height; ++y) {
        const float value = highest_of(heat.row(part, y), heat.width);
        if (value > highest) {
            highest = value;
            at_y = y;
        }
    }
    if (!(highest > 0)) return {};
    const T* row = heat.row(part, at_y);
    int at_x = 0;
    while (to_float(row[at_x]) != highest) ++at_x;
    return unchecked::refine(heat, part, at_y, at_x);
}

}  // namespace

void check_hand_maps(int channels, int height, int width) {
    if (height < 1 || width < 1) throw std::invalid_argument("the maps have no cells");
    if (channels != kHandPoints && channels != kHandPoints + 1) {
        throw std::invalid_argument("heat has " + std::to_string(channels) +
                                    " channels; a hand's 21 points and perhaps a background make "
                                    "21 or 22");
    }
}

std::vector<Peak> decode_points(const MapView& heat, int points, const Placement& placement) {
    if (heat.height() < 1 || heat.width() < 1) {
        throw std::invalid_argument("the maps have no cells");
    }
    if (points < 1 || (heat.channels() != points && heat.channels() != points + 1)) {
        throw std::invalid_argument("heat has " + std::to_string(heat.channels()) +
                                    " channels, which do not fit " + std::to_string(points) +
                                    " points and perhaps a background");
    }
    placement.check();
    std::vector<float> memory;
    const MapView maps = heat.has_adjacent_rows() ? heat : pack(heat, memory);
    std::vector<Peak> found(static_cast<std::size_t>(points));
    for (int part = 0; part < points; ++part) {
        const Peak peak =
            maps.visit([part](const auto& typed) { return find_highest(typed, part); });
        if (peak.score > kHandThreshold) {
            found[static_cast<std::size_t>(part)] = placement.to_picture(peak);
        }
    }
    return found;
}

std::vector<Peak> decode_hand(const MapView& heat, const Placement& placement) {
    check_hand_maps(heat.channels(), heat.height(), heat.width());
    return decode_points(heat, kHandPoints, placement);
}

}  // namespace openpose_ext
