// People without maps: skeletons of four parts in a row, for the stages behind the decoder.
#pragma once

#include <initializer_list>
#include <vector>

#include "openpose_ext/people.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext::testing {

// Keypoints: x, y, score for each part.
using Points = std::vector<float>;

// Four parts, each joined to the next by a limb as long as a trunk.
inline Topology stick() {
    Topology topology;
    topology.parts = 4;
    for (int part = 0; part < 3; ++part) {
        topology.limbs.push_back({part, part + 1, 2 * part, 2 * part + 1, false, 1.0f});
    }
    topology.sigmas.assign(4, 0.1f);
    return topology;
}

// Upright, the first part at (x, y), limbs of `limb` pixels. Its stature is 3.3 limbs.
inline Points standing(float x, float y, float limb, float score = 0.8f) {
    Points person;
    for (int part = 0; part < 4; ++part) {
        const float down = y + limb * static_cast<float>(part);
        person.insert(person.end(), {x, down, score});
    }
    return person;
}

inline People people_of(std::initializer_list<Points> persons, std::vector<float> scores) {
    People people;
    people.parts = 4;
    people.count = static_cast<int>(persons.size());
    for (const Points& person : persons) {
        people.keypoints.insert(people.keypoints.end(), person.begin(), person.end());
    }
    people.scores = std::move(scores);
    people.filled.assign(persons.size() * 4, 0);
    return people;
}

}  // namespace openpose_ext::testing
