#include "openpose_ext/fill.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "distance.hpp"
#include "stages.hpp"

namespace openpose_ext {

namespace {

// What a filled part needs. Half of each changes AP by less than 0.002 on two networks, so the
// values are not critical; they only have to stand above the maps' noise.
constexpr float kLeastHeat = 0.01f;
constexpr float kLeastField = 0.05f;   // of a step on the way: the field's length at the cell
constexpr float kLeastSample = 0.02f;  // of the line integral's samples ...
constexpr float kLeastShare = 0.6f;    // ... this share must exceed it,
constexpr float kLeastMean = 0.02f;    // and their mean this

constexpr int kBlindSteps = 2;   // steps without a field that end the way
constexpr int kClimbSteps = 8;   // from the strongest cell of the way up to a maximum
constexpr float kSamePlace = 1;  // cells: a peak so near is the same part

constexpr float kLargest = std::numeric_limits<float>::max();  // beyond it, nothing is a number

struct Spot {
    int y = 0;
    int x = 0;
    float heat = 0;
};

// The strongest of `best` and the cells around (y, x) that lie in the map.
template <class T>
Spot strongest_around(const Maps<T>& heat, int part, int y, int x, Spot best) {
    const int last_row = std::min(y + 1, heat.height - 1);
    const int first_column = std::max(x - 1, 0);
    const int last_column = std::min(x + 1, heat.width - 1);
    for (int row = std::max(y - 1, 0); row <= last_row; ++row) {
        const T* cells = heat.row(part, row);
        for (int column = first_column; column <= last_column; ++column) {
            const float value = to_float(cells[column]);
            if (value > best.heat && value <= kLargest) best = {row, column, value};
        }
    }
    return best;
}

// The strongest heat of `part` beside the way along the field of `limb` that starts at `from`.
template <class T>
Spot follow(const Maps<T>& heat, const Maps<T>& paf, const Limb& limb, const Peak& from, int part) {
    const float sign = part == limb.b ? 1.0f : -1.0f;
    const float right = static_cast<float>(heat.width) - 0.5f;
    const float bottom = static_cast<float>(heat.height) - 0.5f;
    float x = from.x;
    float y = from.y;
    float step_x = 0;
    float step_y = 0;
    Spot best;
    int blind = 0;
    // The bound only ends ways that go in circles.
    for (int steps = heat.width + heat.height; steps > 0 && blind < kBlindSteps; --steps) {
        const int row = std::min(static_cast<int>(y + 0.5f), heat.height - 1);
        const int column = std::min(static_cast<int>(x + 0.5f), heat.width - 1);
        const float field_x = sign * confidence(paf.at(limb.paf_x, row, column));
        const float field_y = sign * confidence(paf.at(limb.paf_y, row, column));
        const float length = confidence(distance(field_x, field_y));
        if (length > kLeastField) {
            step_x = field_x / length;
            step_y = field_y / length;
            blind = 0;
        } else {
            ++blind;
        }
        x += step_x;
        y += step_y;
        if (!(x >= -0.5f && x < right && y >= -0.5f && y < bottom)) break;
        best = strongest_around(heat, part, static_cast<int>(y + 0.5f), static_cast<int>(x + 0.5f),
                                best);
    }
    for (int step = 0; step < kClimbSteps && best.heat > 0; ++step) {
        const Spot higher = strongest_around(heat, part, best.y, best.x, best);
        if (!(higher.heat > best.heat)) break;
        best = higher;
    }
    return best;
}

// Looks for the missing parts of one person.
template <class T>
class Filler {
public:
    Filler(const Maps<T>& heat, const Maps<T>& paf, const Peaks& peaks, const Topology& topology,
           const std::vector<char>& taken, const int* seen, float size, FillScratch& scratch,
           Peak* filled)
        : heat_(heat),
          paf_(paf),
          peaks_(peaks),
          topology_(topology),
          taken_(taken),
          seen_(seen),
          size_(size),
          filled_(filled),
          since_(scratch.since),
          tried_(scratch.tried) {
        since_.assign(topology.parts, 0);
        tried_.assign(topology.parts, -1);
    }

    // True if something was filled.
    bool fill_round() {
        bool any = false;
        for (int part = 0; part < topology_.parts; ++part) {
            if (known(part) != nullptr) continue;
            filled_[part] = best_candidate(part);
            tried_[part] = fillings_;
            if (!(filled_[part].score > 0)) continue;
            since_[part] = ++fillings_;
            any = true;
        }
        return any;
    }

private:
    [[nodiscard]] const Peak* known(int part) const {
        if (seen_[part] >= 0) return &peaks_.all[seen_[part]];
        return filled_[part].score > 0 ? &filled_[part] : nullptr;
    }

    // Whether a person already has a peak of the part there.
    [[nodiscard]] bool is_taken(int part, const Peak& place) const {
        for (int i = peaks_.begin[part]; i < peaks_.begin[part + 1]; ++i) {
            const Peak& peak = peaks_.all[i];
            if (taken_[i] != 0 && std::abs(peak.x - place.x) < kSamePlace &&
                std::abs(peak.y - place.y) < kSamePlace) {
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] Peak best_candidate(int part) {
        Peak best;
        float best_value = 0;
        for (const Limb& limb : topology_.limbs) {
            if ((limb.a != part && limb.b != part) || !limb.has_field()) continue;
            const int other = limb.a == part ? limb.b : limb.a;
            const Peak* from = known(other);
            // The way from a part that was known when this one was last tried leads nowhere.
            if (from == nullptr || since_[other] <= tried_[part]) continue;
            const Spot spot = follow(heat_, paf_, limb, *from, part);
            if (!(spot.heat > kLeastHeat)) continue;
            const Peak there = unchecked::refine(heat_, part, spot.y, spot.x);
            if (distance(there.x - from->x, there.y - from->y) > most_cells(limb, size_)) continue;
            const Integral field =
                limb.a == part ? unchecked::integrate(paf_, limb, there, *from, kLeastSample)
                               : unchecked::integrate(paf_, limb, *from, there, kLeastSample);
            if (field.mean < kLeastMean || field.share < kLeastShare) continue;
            const float value = field.mean * there.score;
            if (value > best_value && !is_taken(part, there)) {
                best_value = value;
                best = there;
            }
        }
        return best;
    }

    const Maps<T>& heat_;
    const Maps<T>& paf_;
    const Peaks& peaks_;
    const Topology& topology_;
    const std::vector<char>& taken_;
    const int* seen_;
    float size_;
    Peak* filled_;
    int fillings_ = 0;         // so far
    std::vector<int>& since_;  // parts: the filling that made it known, 0 for seen ones
    std::vector<int>& tried_;  // parts: fillings there were when it was tried
};

}  // namespace

namespace unchecked {

template <class T>
void fill(const Maps<T>& heat, const Maps<T>& paf, const Peaks& peaks, const Topology& topology,
          const Assembly& assembly, FillScratch& scratch, Filled& filled) {
    const int parts = topology.parts;
    filled.at.assign(static_cast<std::size_t>(assembly.people) * parts, Peak{});
    filled.taken.assign(peaks.all.size(), 0);
    for (const int peak : assembly.peak) {
        if (peak >= 0) filled.taken[peak] = 1;
    }
    for (int person = 0; person < assembly.people; ++person) {
        Filler<T> filler(heat, paf, peaks, topology, filled.taken, &assembly.peak[person * parts],
                         assembly.size[person], scratch, &filled.at[person * parts]);
        // A chain of missing parts is filled from its root on, a part or more a round.
        for (int round = 0; round < parts && filler.fill_round(); ++round) {
        }
    }
}
template void fill(const Maps<float>&, const Maps<float>&, const Peaks&, const Topology&,
                   const Assembly&, FillScratch&, Filled&);
template void fill(const Maps<float16>&, const Maps<float16>&, const Peaks&, const Topology&,
                   const Assembly&, FillScratch&, Filled&);

}  // namespace unchecked

void fill(const MapView& heat, const MapView& paf, const Peaks& peaks, const Topology& topology,
          const Assembly& assembly, Workspace& workspace, Filled& filled) {
    topology.check();
    check_view(heat, "heat", topology.parts);
    check_view(paf, "paf", topology.paf_channels());
    if (heat.height() != paf.height() || heat.width() != paf.width()) {
        throw std::invalid_argument("heat is " + std::to_string(heat.height()) + " x " +
                                    std::to_string(heat.width()) + " cells but paf is " +
                                    std::to_string(paf.height()) + " x " +
                                    std::to_string(paf.width()));
    }
    peaks.check(topology.parts, heat.height(), heat.width());
    assembly.check(static_cast<int>(peaks.all.size()), topology.parts);
    Workspace::Memory& memory = workspace.memory();
    const auto run = [&](const MapView& h, const MapView& p) {
        h.visit([&]<class T>(const Maps<T>& heats) {
            unchecked::fill(heats, p.template as<T>(), peaks, topology, assembly, memory.fill,
                            filled);
        });
    };
    if (heat.is_half() == paf.is_half()) {
        run(heat, paf);
    } else if (heat.is_half()) {
        run(pack(heat, memory.heat), paf);
    } else {
        run(heat, pack(paf, memory.paf));
    }
}

}  // namespace openpose_ext
