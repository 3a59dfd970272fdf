#include "openpose_ext/unite.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "boxes.hpp"
#include "checks.hpp"
#include "openpose_ext/doubles.hpp"
#include "rows.hpp"

namespace openpose_ext {

namespace {

// A person of a closer look is that of the first look from this OKS on. 0.2 to 0.4 give the same
// AP.
constexpr float kMatch = 0.3f;
constexpr int kCommonParts = 2;

// Of somebody whom no closer look has: the share of parts that may be others', and how close those
// have to be (OKS of the part alone).
constexpr float kTaken = 0.5f;
constexpr double kThere = 0.5;

// A part that was seen, and that the closer look only guessed, is as seen as before where the guess
// is that close: 60 % of such parts are right, a third of those further off (lite, 191 parts).
constexpr double kStill = 0.8;

// Somebody new of whom so large a share lies in the box of somebody more than so many times as sure
// is a pattern of theirs, such as a shirt. AP is the same with them (6 of 225 people, coco_val).
constexpr float kInside = 0.9f;
constexpr float kSurer = 2.0f;

// Somebody of a closer look, and whether they were taken.
struct Candidate {
    int look = 0;
    int person = 0;
    bool taken = false;
};

// One of the people in the result: theirs are the parts and the score of `who`, and the parts that
// `who` lacks are those of `before`. What was seen before and is guessed at the same place now
// stays seen.
struct Row {
    const People* people = nullptr;
    int who = 0;
    const People* first = nullptr;
    int before = 0;

    [[nodiscard]] float score() const { return people->scores[who]; }
};

void add_person(const Row& row, const Topology& topology, People& united) {
    const int parts = united.parts;
    const float* now = keypoints_of(*row.people, row.who);
    const float* before = keypoints_of(*row.first, row.before);
    const float tall = stature(before, topology);
    for (int part = 0; part < parts; ++part) {
        const float* point = now + 3 * part;
        const float* old = before + 3 * part;
        const bool lacks = !(point[2] > 0);
        const bool still = !lacks && point[2] <= kFilledScore && old[2] > kFilledScore &&
                           closeness(point, old, part, tall, topology) > kStill;
        const float* place = lacks ? old : point;
        const bool as_before = lacks || still;
        united.keypoints.insert(united.keypoints.end(),
                                {place[0], place[1], as_before ? old[2] : point[2]});
        united.filled.push_back(as_before ? row.first->filled[row.before * parts + part]
                                          : row.people->filled[row.who * parts + part]);
    }
    united.scores.push_back(row.score());
    ++united.count;
}

// Whether so many of a person's parts are where others have the same that nothing of them is left.
bool is_made_of(const float* keypoints, float stature, const std::vector<Row>& others,
                const Topology& topology) {
    int parts = 0;
    int taken = 0;
    for (int part = 0; part < topology.parts; ++part) {
        const float* point = keypoints + 3 * part;
        if (!(point[2] > 0)) continue;
        ++parts;
        const auto has = [&](const Row& row) {
            const float* other = keypoints_of(*row.people, row.who) + 3 * part;
            return other[2] > 0 && closeness(point, other, part, stature, topology) > kThere;
        };
        taken += static_cast<int>(std::any_of(others.begin(), others.end(), has));
    }
    return parts > 0 && static_cast<float>(taken) >= kTaken * static_cast<float>(parts);
}

// Whether somebody lies in somebody who is much surer.
bool is_pattern_of(const Row& row, const Row& other) {
    if (!(kSurer * row.score() < other.score())) return false;
    const Box one = box_of(keypoints_of(*row.people, row.who), row.people->parts);
    const Box around = box_of(keypoints_of(*other.people, other.who), other.people->parts);
    return common_area(one, around) >= kInside * one.area();
}

void sort_by_score(std::vector<Row>& rows) {
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Row& one, const Row& other) { return one.score() > other.score(); });
}

People table_of(const std::vector<Row>& rows, const Topology& topology) {
    People people;
    people.parts = topology.parts;
    for (const Row& row : rows) add_person(row, topology, people);
    return people;
}

}  // namespace

People unite(const People& first, std::span<const Closer> closer, const Topology& topology,
             int most) {
    topology.check();
    check_people(first, topology.parts);
    std::vector<Candidate> candidates;
    std::vector<int> look_of(first.count, -1);
    for (int look = 0; look < static_cast<int>(closer.size()); ++look) {
        check_people(closer[look].people, topology.parts);
        for (int person = 0; person < closer[look].people.count; ++person) {
            candidates.push_back({look, person});
        }
        for (const int person : closer[look].whom) {
            if (person < 0 || person >= first.count) {
                throw std::invalid_argument("a closer look is made for person " +
                                            std::to_string(person) + " of " +
                                            std::to_string(first.count));
            }
            look_of[person] = look;
        }
    }

    // Whom everybody takes: of the look made for them if they can, else of a neighbour's.
    std::vector<const Candidate*> taken_by(first.count, nullptr);
    for (const bool own : {true, false}) {
        for (int person = 0; person < first.count; ++person) {
            if (taken_by[person] != nullptr) continue;
            const float* keypoints = keypoints_of(first, person);
            const float tall = stature(keypoints, topology);
            Candidate* best = nullptr;
            float best_oks = kMatch;
            for (Candidate& candidate : candidates) {
                if (candidate.taken || (own && candidate.look != look_of[person])) continue;
                const float* other = keypoints_of(closer[candidate.look].people, candidate.person);
                const Likeness likeness = compare(keypoints, other, tall, topology);
                if (likeness.common < kCommonParts || !(likeness.oks > best_oks)) continue;
                best = &candidate;
                best_oks = likeness.oks;
            }
            if (best == nullptr) continue;
            best->taken = true;
            taken_by[person] = best;
        }
    }
    std::vector<Row> known;
    std::vector<int> unconfirmed;
    for (int person = 0; person < first.count; ++person) {
        const Candidate* taken = taken_by[person];
        if (taken == nullptr) {
            unconfirmed.push_back(person);
        } else {
            known.push_back({&closer[taken->look].people, taken->person, &first, person});
        }
    }
    std::vector<Row> added;
    for (const Candidate& candidate : candidates) {
        const People* people = &closer[candidate.look].people;
        if (!candidate.taken) added.push_back({people, candidate.person, people, candidate.person});
    }
    std::vector<Row> closer_people = known;
    closer_people.insert(closer_people.end(), added.begin(), added.end());
    for (const int person : unconfirmed) {
        const float* keypoints = keypoints_of(first, person);
        if (is_made_of(keypoints, stature(keypoints, topology), closer_people, topology)) continue;
        known.push_back({&first, person, &first, person});
    }
    std::erase_if(added, [&](const Row& row) {
        const auto shows = [&](const Row& other) { return is_pattern_of(row, other); };
        return std::any_of(known.begin(), known.end(), shows);
    });
    sort_by_score(known);
    sort_by_score(added);
    known.insert(known.end(), added.begin(), added.end());
    People united = table_of(known, topology);
    Workspace workspace;
    drop_doubles(united, topology, workspace);

    std::vector<Row> kept;
    for (int person = 0; person < united.count; ++person) {
        kept.push_back({&united, person, &united, person});
    }
    sort_by_score(kept);
    People best_first = table_of(kept, topology);
    keep_best(best_first, most);
    return best_first;
}

}  // namespace openpose_ext
