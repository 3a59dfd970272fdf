// The whole decoder under libFuzzer: any skeleton, any maps, any options, both modes. It must
// neither crash nor hang, refuse with std::invalid_argument alone, and give sound people.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "choices.hpp"
#include "openpose_ext/decode.hpp"
#include "openpose_ext/reference.hpp"

namespace {

using namespace openpose_ext;
using namespace openpose_ext::fuzz;

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
