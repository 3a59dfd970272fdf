#include "openpose_ext/decode.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "rows.hpp"
#include "stages.hpp"

namespace openpose_ext {

namespace {

// Smallest score of a seen part, whatever threshold the user chose.
const float kLeastSeen = std::nextafter(kFilledScore, 1.0f);

// A part is located to a fixed share of a cell, so people of few cells are worse detections than
// their evidence says: a score is multiplied by size / (size + kSmall), size the root of the
// bounding box's area in cells. 2 to 16 rank alike on two networks (AP + 0.003 to 0.006).
constexpr float kSmall = 4;

// Size of a person's seen parts in cells.
float size_of(const Peaks& peaks, const int* seen, int parts) {
    float left = std::numeric_limits<float>::max();
    float top = left;
    float right = -left;
    float bottom = -left;
    for (int part = 0; part < parts; ++part) {
        if (seen[part] < 0) continue;
        const Peak& peak = peaks.all[seen[part]];
        left = std::min(left, peak.x);
        right = std::max(right, peak.x);
        top = std::min(top, peak.y);
        bottom = std::max(bottom, peak.y);
    }
    // A part takes up a cell, so people in one row or column have a size, too.
    return std::sqrt((right - left + 1) * (bottom - top + 1));
}

// Scores in [0, 1]: evidence over what a complete, perfect person has, times the size's factor.
void score_people(const Peaks& peaks, const Topology& topology, Assembly& assembly) {
    const auto complete = static_cast<float>(topology.parts + topology.limbs.size());
    for (int person = 0; person < assembly.people; ++person) {
        const float size = size_of(peaks, &assembly.peak[person * assembly.parts], assembly.parts);
        assembly.score[person] *= size / (size + kSmall) / complete;
    }
}

void place(const Peak& peak, const Placement& placement, float score, float* keypoint) {
    const Peak placed = placement.to_picture(peak);
    keypoint[0] = placed.x;
    keypoint[1] = placed.y;
    keypoint[2] = score;
}

// Fills the result table, best person first.
void write_people(const Peaks& peaks, const Assembly& assembly, const Filled& filled,
                  const Placement& placement, std::vector<int>& order, People& people) {
    const int parts = assembly.parts;
    order.resize(assembly.people);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&assembly](int one, int other) {
        if (assembly.score[one] != assembly.score[other]) {
            return assembly.score[one] > assembly.score[other];
        }
        return one < other;
    });

    people.count = static_cast<int>(order.size());
    people.parts = parts;
    people.keypoints.assign(static_cast<std::size_t>(people.count) * parts * 3, 0.0f);
    people.filled.assign(static_cast<std::size_t>(people.count) * parts, 0);
    people.scores.resize(people.count);
    for (int row = 0; row < people.count; ++row) {
        const int person = order[row];
        people.scores[row] = assembly.score[person];
        for (int part = 0; part < parts; ++part) {
            const int peak = assembly.peak[person * parts + part];
            float* keypoint = &people.keypoints[(static_cast<std::size_t>(row) * parts + part) * 3];
            if (peak >= 0) {
                const Peak& seen = peaks.all[peak];
                place(seen, placement, std::max(seen.score, kLeastSeen), keypoint);
            } else if (const Peak& guess = filled.at[person * parts + part]; guess.score > 0) {
                place(guess, placement, kFilledScore * guess.score, keypoint);
                people.filled[row * parts + part] = 1;
            }
        }
    }
}

}  // namespace

void check_maps(int heat_channels, int heat_height, int heat_width, int paf_channels,
                int paf_height, int paf_width, const Topology& topology) {
    if (heat_height < 1 || heat_width < 1) throw std::invalid_argument("the maps have no cells");
    const auto text = [](int value) { return std::to_string(value); };
    if (heat_channels != topology.parts && heat_channels != topology.parts + 1) {
        throw std::invalid_argument("heat has " + text(heat_channels) + " channels; " +
                                    text(topology.parts) + " parts and perhaps a background make " +
                                    text(topology.parts) + " or " + text(topology.parts + 1));
    }
    if (paf_channels != topology.paf_channels()) {
        throw std::invalid_argument("paf has " + text(paf_channels) + " channels; " +
                                    text(static_cast<int>(topology.limbs.size())) + " limbs need " +
                                    text(topology.paf_channels()));
    }
    if (heat_height != paf_height || heat_width != paf_width) {
        throw std::invalid_argument("heat is " + text(heat_height) + " x " + text(heat_width) +
                                    " cells but paf is " + text(paf_height) + " x " +
                                    text(paf_width));
    }
}

void Placement::check() const {
    const double numbers[] = {scale_x, shift_x, scale_y, shift_y};
    const char* const names[] = {"scale_x", "shift_x", "scale_y", "shift_y"};
    for (int i = 0; i < 4; ++i) {
        if (std::isfinite(numbers[i])) continue;
        throw std::invalid_argument(std::string("the placement's ") + names[i] +
                                    " must be finite, not " + std::to_string(numbers[i]));
    }
    if (width < 1 || height < 1) {
        throw std::invalid_argument("the placement's picture must have a pixel at least, not " +
                                    std::to_string(width) + " x " + std::to_string(height));
    }
}

struct Decoder::State {
    Workspace workspace;
    Peaks peaks;
    std::vector<std::vector<Connection>> connections;
    Assembly assembly;
    Filled filled;
    People people;

    template <class T>
    void decode(const Maps<T>& heat, const Maps<T>& paf, const Topology& topology,
                const Placement& placement, const DecodeOptions& options) {
        Workspace::Memory& memory = workspace.memory();
        unchecked::find_peaks(heat, topology.parts, options, memory.peaks, peaks);
        unchecked::connect(paf, topology, peaks, options, memory.connect, connections);
        unchecked::assemble(peaks, topology, connections, options, memory.assemble, assembly);
        score_people(peaks, topology, assembly);
        if (options.fill) {
            unchecked::fill(heat, paf, peaks, topology, assembly, memory.fill, filled);
        } else {
            filled.at.assign(static_cast<std::size_t>(assembly.people) * topology.parts, Peak{});
        }
        write_people(peaks, assembly, filled, placement, memory.order, people);
        unchecked::drop_doubles(people, topology, memory.doubles);
        keep_best(people, options.max_people);
    }
};

Decoder::Decoder() : state_(std::make_unique<State>()) {}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&& other) noexcept = default;
Decoder& Decoder::operator=(Decoder&& other) noexcept = default;

const Peaks& Decoder::peaks() const { return state_->peaks; }
const std::vector<std::vector<Connection>>& Decoder::connections() const {
    return state_->connections;
}

const People& Decoder::decode(const MapView& heat, const MapView& paf, const Topology& topology,
                              const Placement& placement, const DecodeOptions& options) {
    topology.check();
    options.check();
    placement.check();
    check_maps(heat.channels(), heat.height(), heat.width(), paf.channels(), paf.height(),
               paf.width(), topology);
    // The stages walk adjacent cells of one type; anything else is packed once.
    const bool halves =
        heat.is_half() && heat.has_adjacent_rows() && paf.is_half() && paf.has_adjacent_rows();
    const auto walkable = [halves](const MapView& maps, std::vector<float>& memory) {
        const bool as_it_is = halves || (maps.has_adjacent_rows() && !maps.is_half());
        return as_it_is ? maps : pack(maps, memory);
    };
    Workspace::Memory& memory = state_->workspace.memory();
    const MapView heats = walkable(heat, memory.heat);
    const MapView pafs = walkable(paf, memory.paf);
    if (halves) {
        state_->decode(heats.as<float16>(), pafs.as<float16>(), topology, placement, options);
    } else {
        state_->decode(heats.as<float>(), pafs.as<float>(), topology, placement, options);
    }
    return state_->people;
}

}  // namespace openpose_ext
