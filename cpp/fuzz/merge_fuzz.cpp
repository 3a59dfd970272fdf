// Passes of any size, layout and placement under libFuzzer: refused with std::invalid_argument
// alone, or every merged cell is written, and finite where the passes are not huge.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "choices.hpp"
#include "openpose_ext/merge.hpp"

using namespace openpose_ext;
using namespace openpose_ext::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Choices choices(data, size);
    const int channels = choices.number(0, 4);
    const int height = choices.number(0, 12);
    const int width = choices.number(0, 20);
    std::vector<Cells> cells;
    std::vector<Pass> passes(choices.number(0, 3));
    cells.reserve(passes.size());
    bool huge = false;
    try {
        for (Pass& pass : passes) {
            const int layout = choices.byte();
            Cells& maps = cells.emplace_back(choices.number(0, 4), choices.number(0, 9),
                                             choices.number(0, 9), layout & 15, (layout & 16) != 0);
            maps.fill(choices, false);
            pass.maps = maps.view();
            for (int c = 0; c < pass.maps.channels(); ++c) {
                for (int y = 0; y < pass.maps.height(); ++y) {
                    for (int x = 0; x < pass.maps.width(); ++x) {
                        huge |= std::abs(confidence(pass.maps.at(c, y, x))) > 1e30f;
                    }
                }
            }
            // Scales from tiny to absurd, and now and then no number at all.
            double* const numbers[] = {&pass.scale_x, &pass.shift_x, &pass.scale_y, &pass.shift_y};
            for (double* number : numbers) {
                const int code = choices.byte();
                *number = code == 255   ? std::numeric_limits<double>::infinity()
                          : code == 254 ? std::numeric_limits<double>::quiet_NaN()
                          : code == 253 ? 1e300
                                        : (code - 100) / 16.0;
            }
            for (int c = 0; c < channels; ++c) {
                pass.channel.push_back(choices.number(-1, 4));
                pass.sign.push_back(choices.byte() % 2 == 0 ? 1.0f : -1.0f);
            }
            if (choices.byte() == 255) pass.sign.push_back(1);
        }
        std::vector<float> merged(static_cast<std::size_t>(channels) * height * width,
                                  std::numeric_limits<float>::quiet_NaN());
        merge(passes, channels, height, width, merged);
        for (const float cell : merged) require(huge || std::isfinite(cell), "cell");
    } catch (const std::invalid_argument&) {
        return 0;
    }
    return 0;
}
