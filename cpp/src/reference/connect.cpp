#include <algorithm>
#include <cmath>

#include "openpose_ext/reference.hpp"

namespace openpose_ext::reference {

namespace {

constexpr int kSamples = 10;
constexpr double kShortest = 0.001;  // pixels; the floor under a limb's length

// The seed's score of one pair, or a value not above zero if it refuses it.
template <class T>
double score_pair(Maps<T> paf, const Limb& limb, const Candidate& a, const Candidate& b,
                  const DecodeOptions& options) {
    const double dx = b.x - a.x;
    const double dy = b.y - a.y;
    const double length = std::max(kShortest, std::sqrt(dx * dx + dy * dy));
    const double unit_x = dx / length;
    const double unit_y = dy / length;
    const double step_x = dx / (kSamples - 1);
    const double step_y = dy / (kSamples - 1);
    double sum = 0;
    int above = 0;
    for (int t = 0; t < kSamples; ++t) {
        const bool end = t == kSamples - 1;
        // nearbyint rounds halves to even, as NumPy does.
        const auto x = static_cast<int>(std::nearbyint(end ? b.x : t * step_x + a.x));
        const auto y = static_cast<int>(std::nearbyint(end ? b.y : t * step_y + a.y));
        const auto field_x = static_cast<double>(confidence(paf.at(limb.paf_x, y, x)));
        const auto field_y = static_cast<double>(confidence(paf.at(limb.paf_y, y, x)));
        const double sample = field_x * unit_x + field_y * unit_y;
        sum += sample;
        above += static_cast<int>(sample > options.paf_threshold);
    }
    if (!(above > options.min_paf_share * kSamples)) return 0;
    return sum / kSamples + std::min(0.5 * paf.height / length - 1, 0.0);
}

// Takes the best links first, each candidate once; equal scores in order of enumeration.
void keep_best(int count_a, int count_b, std::vector<Link>& links) {
    std::stable_sort(links.begin(), links.end(),
                     [](const Link& one, const Link& other) { return one.score > other.score; });
    std::vector<char> used_a(count_a, 0);
    std::vector<char> used_b(count_b, 0);
    std::size_t kept = 0;
    for (const Link& link : links) {
        if (used_a[link.a] != 0 || used_b[link.b] != 0) continue;
        used_a[link.a] = used_b[link.b] = 1;
        links[kept++] = link;
    }
    links.resize(kept);
}

}  // namespace

template <class T>
void connect(Maps<T> paf, const Topology& topology, const Candidates& candidates,
             const DecodeOptions& options, std::vector<std::vector<Link>>& links) {
    links.assign(topology.limbs.size(), {});
    for (std::size_t l = 0; l < topology.limbs.size(); ++l) {
        const Limb& limb = topology.limbs[l];
        const int first_a = candidates.begin[limb.a];
        const int first_b = candidates.begin[limb.b];
        const int count_a = candidates.begin[limb.a + 1] - first_a;
        const int count_b = candidates.begin[limb.b + 1] - first_b;
        for (int i = 0; i < count_a; ++i) {
            for (int j = 0; j < count_b; ++j) {
                const double score = score_pair(paf, limb, candidates.all[first_a + i],
                                                candidates.all[first_b + j], options);
                if (score > 0) links[l].push_back({first_a + i, first_b + j, score, i, j});
            }
        }
        keep_best(count_a, count_b, links[l]);
    }
}

template OPENPOSE_EXT_API void connect(Maps<float>, const Topology&, const Candidates&,
                                       const DecodeOptions&, std::vector<std::vector<Link>>&);
template OPENPOSE_EXT_API void connect(Maps<double>, const Topology&, const Candidates&,
                                       const DecodeOptions&, std::vector<std::vector<Link>>&);

}  // namespace openpose_ext::reference
