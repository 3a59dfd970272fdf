// A hand's maps under libFuzzer, both modes: refused with std::invalid_argument alone, or 21 sound
// points.
#include <cmath>
#include <stdexcept>

#include "choices.hpp"
#include "openpose_ext/hand.hpp"
#include "openpose_ext/reference.hpp"

using namespace openpose_ext;
using namespace openpose_ext::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Choices choices(data, size);
    const std::uint8_t mode = choices.byte();
    const bool reference = (mode & 1) != 0;
    const int odd = choices.byte();
    const int channels = odd == 255 ? choices.number(0, 30) : 21 + odd % 2;
    const int height = choices.number(0, 12);
    const int width = choices.number(0, 20);
    const int layout = choices.byte();
    Cells heat(channels, height, width, reference ? layout & 7 : layout & 15,
               !reference && (layout & 16) != 0);
    const Placement placement{0.5 * choices.number(1, 20), 0.5 * choices.number(-20, 20),
                              0.5 * choices.number(1, 20), 0.5 * choices.number(-20, 20),
                              choices.number(0, 200),      choices.number(1, 200)};
    const bool drawn = (mode & 2) != 0;
    heat.fill(choices, drawn);
    while (drawn && !choices.done() && height * width > 0) heat.stroke(choices);
    try {
        if (reference) {
            const auto points = reference::find_hand(heat.view().as<float>());
            require(points.size() == kHandPoints, "points");
            for (const auto& point : points) {
                require(std::isfinite(point.score), "score");
                require(point.x >= 0 && point.x < width && point.y >= 0 && point.y < height,
                        "pixel");
            }
            return 0;
        }
        const auto points = decode_hand(heat.view(), placement);
        require(points.size() == kHandPoints, "points");
        for (const Peak& point : points) {
            const bool missing = point.x == 0 && point.y == 0 && point.score == 0;
            require(missing || (point.score > kHandThreshold && point.score <= 1), "score");
            require(point.x >= 0 && point.x <= static_cast<float>(placement.width - 1), "x");
            require(point.y >= 0 && point.y <= static_cast<float>(placement.height - 1), "y");
        }
    } catch (const std::invalid_argument&) {
        return 0;
    }
    return 0;
}
