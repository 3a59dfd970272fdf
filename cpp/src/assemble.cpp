#include "openpose_ext/assemble.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "checks.hpp"
#include "digits.hpp"
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
float middle_of(std::span<const float> sizes) {
    return sizes.size() < kTelling ? 0 : sizes[sizes.size() / 2];
}

// The sizes that each person's limbs tell, sorted. A person has a limb once; one that was given
// more often does not tell more.
class Sizes {
public:
    Sizes(std::vector<float>& cells, std::vector<int>& counts, std::size_t limbs)
        : cells_(cells), counts_(counts), limbs_(limbs) {
        cells_.clear();
        counts_.clear();
    }
    void add_person() {
        cells_.resize(cells_.size() + limbs_);
        counts_.push_back(0);
    }
    [[nodiscard]] std::span<const float> of(int person) const {
        return {cells_.data() + person * limbs_, static_cast<std::size_t>(counts_[person])};
    }
    void add(int person, float size) {
        if (of(person).size() == limbs_) return;
        float* const first = cells_.data() + person * limbs_;
        float* at = first + counts_[person]++;
        for (; at > first && at[-1] > size; --at) *at = at[-1];
        *at = size;
    }
    void set(int person, std::span<const float> sizes) {
        const std::size_t count = std::min(sizes.size(), limbs_);
        std::copy_n(sizes.begin(), count, cells_.data() + person * limbs_);
        counts_[person] = static_cast<int>(count);
    }

private:
    std::vector<float>& cells_;  // people x limbs
    std::vector<int>& counts_;
    std::size_t limbs_;
};

// Best first; of equal ones the limb that comes first, then the better pair, then the first peak.
void sort_links(AssembleScratch& scratch) {
    using Link = AssembleScratch::Link;
    // Ascending as floats descend, of either sign.
    const auto key = [](const Link& link) {
        const auto bits = std::bit_cast<std::uint32_t>(link.rank);
        return (bits >> 31) != 0 ? bits : 0x7fffffffU - bits;
    };
    if (scratch.links.size() >= kFewToSort) {
        sort_by_digits(scratch.links, scratch.sorted, scratch.places, key);
        return;
    }
    std::sort(scratch.links.begin(), scratch.links.end(), [&](const Link& one, const Link& other) {
        if (one.rank != other.rank) return one.rank > other.rank;
        if (one.limb != other.limb) return one.limb < other.limb;
        return one.score != other.score ? one.score > other.score : one.a < other.a;
    });
}

// Joins links into people, one after the other.
class Joiner {
public:
    Joiner(const Peaks& peaks, const Topology& topology, AssembleScratch& scratch,
           Assembly& assembly)
        : peaks_(peaks),
          topology_(topology),
          owner_(scratch.owner),
          both_(scratch.both),
          sizes_(scratch.sizes, scratch.told, topology.limbs.size()),
          assembly_(assembly) {
        owner_.assign(peaks.all.size(), -1);
        both_.reserve(topology.limbs.size());
    }

    void join(const AssembleScratch::Link& link) {
        const Limb& limb = topology_.limbs[link.limb];
        const int person_a = owner_[link.a];
        const int person_b = owner_[link.b];
        const Peak& end_a = peaks_.all[link.a];
        const Peak& end_b = peaks_.all[link.b];
        const float dx = end_a.x - end_b.x;
        const float dy = end_a.y - end_b.y;
        const float cells = std::sqrt(dx * dx + dy * dy);
        int person = std::max(person_a, person_b);
        if (person < 0) {
            if (limb.redundant) return;
            person = add_person();
            take(person, limb.a, link.a);
            take(person, limb.b, link.b);
        } else if (person_a < 0 || person_b < 0) {
            if (cells > most_cells(limb, middle_of(sizes_.of(person)))) return;
            const int part = person_a < 0 ? limb.a : limb.b;
            if (assembly_.peak[person * assembly_.parts + part] >= 0) return;
            take(person, part, person_a < 0 ? link.a : link.b);
        } else if (person_a == person_b) {
            if (cells > most_cells(limb, middle_of(sizes_.of(person)))) return;
        } else {
            const auto one = sizes_.of(person_a);
            const auto other = sizes_.of(person_b);
            both_.resize(one.size() + other.size());
            std::merge(one.begin(), one.end(), other.begin(), other.end(), both_.begin());
            if (cells > most_cells(limb, middle_of(both_))) return;
            person = std::min(person_a, person_b);
            if (!unite(person, std::max(person_a, person_b))) return;
        }
        assembly_.score[person] += link.score;
        if (limb.length > 0) sizes_.add(person, cells / limb.length);
    }

    [[nodiscard]] std::span<const float> sizes_of(int person) const { return sizes_.of(person); }

private:
    int add_person() {
        assembly_.peak.resize(assembly_.peak.size() + assembly_.parts, -1);
        assembly_.score.push_back(0);
        assembly_.count.push_back(0);
        sizes_.add_person();
        return assembly_.people++;
    }

    void take(int person, int part, int peak) {
        assembly_.peak[person * assembly_.parts + part] = peak;
        assembly_.score[person] += peaks_.all[peak].score;
        ++assembly_.count[person];
        owner_[peak] = person;
    }

    // Gives the one what the other has; false, and nothing happens, if they share a part.
    bool unite(int keep, int gone) {
        int* into = &assembly_.peak[keep * assembly_.parts];
        int* from = &assembly_.peak[gone * assembly_.parts];
        for (int k = 0; k < assembly_.parts; ++k) {
            if (into[k] >= 0 && from[k] >= 0) return false;
        }
        for (int k = 0; k < assembly_.parts; ++k) {
            if (from[k] < 0) continue;
            into[k] = from[k];
            owner_[from[k]] = keep;
            from[k] = -1;
        }
        assembly_.score[keep] += assembly_.score[gone];
        assembly_.count[keep] += assembly_.count[gone];
        assembly_.count[gone] = 0;
        sizes_.set(keep, both_);
        return true;
    }

    const Peaks& peaks_;
    const Topology& topology_;
    std::vector<int>& owner_;
    std::vector<float>& both_;  // sizes of two people, merged
    Sizes sizes_;
    Assembly& assembly_;
};

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

    Joiner joiner(peaks, topology, scratch, assembly);
    for (const bool redundant : {false, true}) {
        scratch.links.clear();
        for (int l = 0; l < static_cast<int>(topology.limbs.size()); ++l) {
            const Limb& limb = topology.limbs[l];
            if (limb.redundant != redundant) continue;
            for (const Connection& pair : connections[l]) {
                const int a = peaks.begin[limb.a] + pair.a;
                const int b = peaks.begin[limb.b] + pair.b;
                const float ends = peaks.all[a].score + peaks.all[b].score;
                scratch.links.push_back({pair.score + kPeakWeight * ends, pair.score, l, a, b});
            }
        }
        sort_links(scratch);
        for (const AssembleScratch::Link& link : scratch.links) joiner.join(link);
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
        assembly.size.push_back(middle_of(joiner.sizes_of(person)));
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
