#include "openpose_ext/assemble.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "stages.hpp"

namespace openpose_ext {

namespace {

// Weight of the peaks' own scores, beside the limb's, in the order of joining (OpenPose, GPU path).
constexpr float kPeakWeight = 0.1f;

// Limbs that make a part a junction: the trunk, not an arm or a leg.
constexpr int kJunction = 3;

// A limb may be this many times as long as its person's others say, and some cells more, as parts
// are located to a cell. Of 46,930 labelled limbs (COCO, Leeds Sports Pose Extended) 11 are longer.
// So many limbs tell a size.
constexpr float kLongest = 2.5f;
constexpr float kSlack = 2;
constexpr std::size_t kTelling = 3;

// Number of limbs at each part, without the redundant ones and those of the feet.
void count_limbs(const Topology& topology, const std::vector<std::uint8_t>& foot,
                 std::vector<int>& limbs) {
    limbs.assign(topology.parts, 0);
    for (const Limb& limb : topology.limbs) {
        if (limb.redundant || foot[limb.a] || foot[limb.b]) continue;
        ++limbs[limb.a];
        ++limbs[limb.b];
    }
}

// The size that limbs tell, sorted; 0 if they are too few.
float middle_of(const std::vector<float>& sizes) {
    return sizes.size() < kTelling ? 0 : sizes[sizes.size() / 2];
}

void add_person(Assembly& assembly) {
    assembly.peak.resize(assembly.peak.size() + assembly.parts, -1);
    assembly.score.push_back(0);
    assembly.count.push_back(0);
    ++assembly.people;
}

}  // namespace

float most_cells(const Limb& limb, float size) {
    if (!(limb.length > 0) || !(size > 0)) return std::numeric_limits<float>::infinity();
    return kLongest * size * limb.length + kSlack;
}

namespace unchecked {

void assemble(const Peaks& peaks, const Topology& topology,
              const std::vector<std::vector<Connection>>& connections, const DecodeOptions& options,
              AssembleScratch& scratch, Assembly& assembly) {
    const int parts = topology.parts;
    assembly.people = 0;
    assembly.parts = parts;
    assembly.peak.clear();
    assembly.score.clear();
    assembly.count.clear();
    assembly.size.clear();

    auto& links = scratch.links;
    links.clear();
    for (int l = 0; l < static_cast<int>(topology.limbs.size()); ++l) {
        const Limb& limb = topology.limbs[l];
        for (const Connection& pair : connections[l]) {
            const int a = peaks.begin[limb.a] + pair.a;
            const int b = peaks.begin[limb.b] + pair.b;
            const float ends = peaks.all[a].score + peaks.all[b].score;
            links.push_back({limb.redundant, pair.score + kPeakWeight * ends, l, a, b, pair.score});
        }
    }
    std::sort(links.begin(), links.end(), [](const auto& one, const auto& other) {
        if (one.redundant != other.redundant) return other.redundant;
        if (one.rank != other.rank) return one.rank > other.rank;
        if (one.limb != other.limb) return one.limb < other.limb;
        return one.a < other.a;
    });

    auto& owner = scratch.owner;
    auto& sizes = scratch.sizes;
    // A person has a limb once, so none of these grows, and none allocates once it is warm.
    scratch.both.reserve(topology.limbs.size());
    owner.assign(peaks.all.size(), -1);
    const auto take = [&](int person, int part, int peak) {
        assembly.peak[person * parts + part] = peak;
        assembly.score[person] += peaks.all[peak].score;
        ++assembly.count[person];
        owner[peak] = person;
    };
    for (const auto& link : links) {
        const Limb& limb = topology.limbs[link.limb];
        int person_a = owner[link.a];
        int person_b = owner[link.b];
        const Peak& end_a = peaks.all[link.a];
        const Peak& end_b = peaks.all[link.b];
        const float cells = std::hypot(end_a.x - end_b.x, end_a.y - end_b.y);
        if (person_a >= 0 && person_b >= 0 && person_a != person_b) {
            const std::vector<float>& one = sizes[person_a];
            const std::vector<float>& other = sizes[person_b];
            scratch.both.resize(one.size() + other.size());
            std::merge(one.begin(), one.end(), other.begin(), other.end(), scratch.both.begin());
            if (cells > most_cells(limb, middle_of(scratch.both))) continue;
        } else if (const int person = std::max(person_a, person_b); person >= 0) {
            if (cells > most_cells(limb, middle_of(sizes[person]))) continue;
        }
        if (person_a < 0 && person_b < 0) {
            if (limb.redundant) continue;
            person_a = assembly.people;
            add_person(assembly);
            if (sizes.size() < static_cast<std::size_t>(assembly.people)) sizes.emplace_back();
            sizes[person_a].clear();
            sizes[person_a].reserve(topology.limbs.size());
            take(person_a, limb.a, link.a);
            take(person_a, limb.b, link.b);
        } else if (person_b < 0) {
            if (assembly.peak[person_a * parts + limb.b] >= 0) continue;
            take(person_a, limb.b, link.b);
        } else if (person_a < 0) {
            if (assembly.peak[person_b * parts + limb.a] >= 0) continue;
            take(person_b, limb.a, link.a);
            person_a = person_b;
        } else if (person_a != person_b) {
            const int keep = std::min(person_a, person_b);
            const int gone = std::max(person_a, person_b);
            int* into = &assembly.peak[keep * parts];
            int* from = &assembly.peak[gone * parts];
            bool disjoint = true;
            for (int k = 0; k < parts; ++k) disjoint &= into[k] < 0 || from[k] < 0;
            if (!disjoint) continue;
            for (int k = 0; k < parts; ++k) {
                if (from[k] < 0) continue;
                into[k] = from[k];
                owner[from[k]] = keep;
                from[k] = -1;
            }
            assembly.score[keep] += assembly.score[gone];
            assembly.count[keep] += assembly.count[gone];
            assembly.count[gone] = 0;
            sizes[keep].swap(scratch.both);
            person_a = keep;
        }
        assembly.score[person_a] += link.score;
        if (limb.length > 0) {
            const float size = cells / limb.length;
            auto& told = sizes[person_a];
            told.insert(std::upper_bound(told.begin(), told.end(), size), size);
        }
    }

    scratch.foot.assign(parts, 0);
    for (const int foot : topology.feet) scratch.foot[foot] = 1;
    count_limbs(topology, scratch.foot, scratch.limbs);
    int kept = 0;
    for (int person = 0; person < assembly.people; ++person) {
        const int count = assembly.count[person];
        const int* seen = &assembly.peak[person * parts];
        int counted = 0;
        bool has_trunk = false;
        for (int k = 0; k < parts; ++k) {
            if (seen[k] < 0 || scratch.foot[k]) continue;
            ++counted;
            has_trunk |= scratch.limbs[k] >= kJunction;
        }
        if (counted < options.min_parts + (has_trunk ? 0 : 1)) continue;
        if (assembly.score[person] < static_cast<float>(options.min_score * count)) continue;
        std::copy_n(seen, parts, &assembly.peak[kept * parts]);
        assembly.score[kept] = assembly.score[person];
        assembly.count[kept] = count;
        assembly.size.push_back(middle_of(sizes[person]));
        ++kept;
    }
    assembly.people = kept;
    assembly.peak.resize(static_cast<std::size_t>(kept) * parts);
    assembly.score.resize(kept);
    assembly.count.resize(kept);
}

}  // namespace unchecked

void Assembly::check(int peaks, int of_parts) const {
    const auto rows = static_cast<std::size_t>(people);
    if (people < 0 || parts != of_parts || peak.size() != rows * of_parts || score.size() != rows ||
        count.size() != rows || size.size() != rows) {
        throw std::invalid_argument("the tables of " + std::to_string(people) + " people of " +
                                    std::to_string(parts) + " parts do not fit; " +
                                    std::to_string(of_parts) + " parts are needed");
    }
    for (const int index : peak) {
        if (index >= -1 && index < peaks) continue;
        throw std::invalid_argument("a person has peak " + std::to_string(index) + " of " +
                                    std::to_string(peaks));
    }
}

void assemble(const Peaks& peaks, const Topology& topology,
              const std::vector<std::vector<Connection>>& connections, const DecodeOptions& options,
              Workspace& workspace, Assembly& assembly) {
    topology.check();
    options.check();
    peaks.check(topology.parts);
    if (connections.size() != topology.limbs.size()) {
        throw std::invalid_argument(
            "there are connections of " + std::to_string(connections.size()) +
            " limbs; the topology has " + std::to_string(topology.limbs.size()));
    }
    for (std::size_t l = 0; l < connections.size(); ++l) {
        const Limb& limb = topology.limbs[l];
        check_pairs(peaks.count(limb.a), peaks.count(limb.b), connections[l]);
    }
    unchecked::assemble(peaks, topology, connections, options, workspace.memory().assemble,
                        assembly);
}

}  // namespace openpose_ext
