#include "openpose_ext/unite.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "checks.hpp"
#include "openpose_ext/doubles.hpp"
#include "rows.hpp"

namespace openpose_ext {

namespace {

// A person of a closer look is that of the first look from this OKS on. 0.2 to 0.4 give the same
// AP.
constexpr float kMatch = 0.3f;
constexpr int kCommonParts = 2;

// Somebody of a closer look, and whether they were taken.
struct Candidate {
    int look = 0;
    int person = 0;
    bool taken = false;
};

// One of the people in the result: theirs are the parts and the score of `who`, and the parts that
// `who` lacks are those of `before`.
struct Row {
    const People* people = nullptr;
    int who = 0;
    const People* first = nullptr;
    int before = 0;

    [[nodiscard]] float score() const { return people->scores[who]; }
};

void add_person(const Row& row, People& united) {
    const int parts = united.parts;
    for (int part = 0; part < parts; ++part) {
        const float* point = keypoints_of(*row.people, row.who) + 3 * part;
        const bool lacks = !(point[2] > 0);
        const float* source = lacks ? keypoints_of(*row.first, row.before) + 3 * part : point;
        united.keypoints.insert(united.keypoints.end(), source, source + 3);
        united.filled.push_back(lacks ? row.first->filled[row.before * parts + part]
                                      : row.people->filled[row.who * parts + part]);
    }
    united.scores.push_back(row.score());
    ++united.count;
}

void sort_by_score(std::vector<Row>& rows) {
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Row& one, const Row& other) { return one.score() > other.score(); });
}

People table_of(const std::vector<Row>& rows, int parts) {
    People people;
    people.parts = parts;
    for (const Row& row : rows) add_person(row, people);
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

    std::vector<Row> known;
    for (int person = 0; person < first.count; ++person) {
        const float* keypoints = keypoints_of(first, person);
        const float tall = stature(keypoints, topology);
        Candidate* best = nullptr;
        float best_oks = kMatch;
        for (Candidate& candidate : candidates) {
            if (candidate.taken || candidate.look != look_of[person]) continue;
            const float* other = keypoints_of(closer[candidate.look].people, candidate.person);
            const Likeness likeness = compare(keypoints, other, tall, topology);
            if (likeness.common < kCommonParts || !(likeness.oks > best_oks)) continue;
            best = &candidate;
            best_oks = likeness.oks;
        }
        if (best == nullptr) {
            known.push_back({&first, person, &first, person});
        } else {
            best->taken = true;
            known.push_back({&closer[best->look].people, best->person, &first, person});
        }
    }
    std::vector<Row> added;
    for (const Candidate& candidate : candidates) {
        const People* people = &closer[candidate.look].people;
        if (!candidate.taken) added.push_back({people, candidate.person, people, candidate.person});
    }
    sort_by_score(known);
    sort_by_score(added);
    known.insert(known.end(), added.begin(), added.end());
    People united = table_of(known, topology.parts);
    Workspace workspace;
    drop_doubles(united, topology, workspace);

    std::vector<Row> kept;
    for (int person = 0; person < united.count; ++person) {
        kept.push_back({&united, person, &united, person});
    }
    sort_by_score(kept);
    People best_first = table_of(kept, topology.parts);
    keep_best(best_first, most);
    return best_first;
}

}  // namespace openpose_ext
