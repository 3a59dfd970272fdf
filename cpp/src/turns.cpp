#include "openpose_ext/turns.hpp"

#include <algorithm>

#include "boxes.hpp"
#include "checks.hpp"
#include "openpose_ext/doubles.hpp"
#include "rows.hpp"

namespace openpose_ext {

namespace {

// What people of turned looks keep of their score, because most people stand. With 0.5, 0.6, 0.7
// lite finds .58, .58, .60 of people who lie or are upside down, mobilenet .67, .71, .71.
constexpr float kTurned = 0.6f;

// Share of the parts that have to be seen of somebody of a turned look. Without this there are 5
// and 7 people in 67 places where nobody is (lite, mobilenet), with it 0 and 4; mobilenet finds 2
// there in one look.
constexpr float kSeen = 0.5f;

// Share of the smaller box that two people of different looks may have in common.
constexpr float kCommon = 0.5f;

struct Candidate {
    Sighting sighting;
    const float* keypoints = nullptr;
    float stature = 0;
    Box box;
};

bool is_seen_enough(const float* keypoints, const Topology& topology) {
    int seen = 0;
    for (int part = 0; part < topology.parts; ++part) {
        const bool foot =
            std::find(topology.feet.begin(), topology.feet.end(), part) != topology.feet.end();
        seen += static_cast<int>(!foot && keypoints[3 * part + 2] > kFilledScore);
    }
    const auto parts = topology.parts - static_cast<int>(topology.feet.size());
    return static_cast<float>(seen) >= kSeen * static_cast<float>(parts);
}

bool excludes(const Candidate& better, const Candidate& other, const Topology& topology) {
    if (better.sighting.look == other.sighting.look) return false;
    const float smaller = std::min(better.box.area(), other.box.area());
    if (common_area(better.box, other.box) > kCommon * smaller) return true;
    const float tall = std::min(better.stature, other.stature);
    return same_person(compare(better.keypoints, other.keypoints, tall, topology));
}

}  // namespace

std::vector<Sighting> best_of_turns(std::span<const People> looks, const Topology& topology) {
    topology.check();
    std::vector<Candidate> candidates;
    for (int look = 0; look < static_cast<int>(looks.size()); ++look) {
        const People& people = looks[look];
        check_people(people, topology.parts);
        for (int person = 0; person < people.count; ++person) {
            const float* keypoints = keypoints_of(people, person);
            if (look > 0 && !is_seen_enough(keypoints, topology)) continue;
            const float score = (look > 0 ? kTurned : 1) * people.scores[person];
            candidates.push_back({{look, person, score},
                                  keypoints,
                                  stature(keypoints, topology),
                                  box_of(keypoints, topology.parts)});
        }
    }
    std::stable_sort(
        candidates.begin(), candidates.end(),
        [](const Candidate& a, const Candidate& b) { return a.sighting.score > b.sighting.score; });
    std::vector<Candidate> kept;
    for (const Candidate& candidate : candidates) {
        const auto excludes_it = [&](const Candidate& better) {
            return excludes(better, candidate, topology);
        };
        if (std::none_of(kept.begin(), kept.end(), excludes_it)) kept.push_back(candidate);
    }
    std::vector<Sighting> sightings;
    for (const Candidate& candidate : kept) sightings.push_back(candidate.sighting);
    return sightings;
}

}  // namespace openpose_ext
