#include "openpose_ext/hand.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace openpose_ext {

namespace {

// The largest of a row's values that are numbers and not infinite; 0 if none is above.
float highest_of(const float* row, int width) {
    float highest = 0;
    for (int x = 0; x < width; ++x) highest = std::max(highest, confidence(row[x]));
    return highest;
}

// The highest cell of a map, located below the cell; a score of 0 if nothing is above 0.
Peak find_highest(MapView heat, int part) {
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
    const float* row = heat.row(part, at_y);
    const auto at_x = static_cast<int>(std::find(row, row + heat.width, highest) - row);
    return refine(heat, part, at_y, at_x);
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

std::vector<Peak> decode_hand(MapView heat, const Placement& placement) {
    check_hand_maps(heat.channels, heat.height, heat.width);
    std::vector<Peak> points(kHandPoints);
    for (int part = 0; part < kHandPoints; ++part) {
        const Peak peak = find_highest(heat, part);
        if (peak.score > kHandThreshold) points[part] = placement.to_picture(peak);
    }
    return points;
}

}  // namespace openpose_ext
