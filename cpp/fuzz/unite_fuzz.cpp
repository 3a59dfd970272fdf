// Two looks at a picture and doubled skeletons under libFuzzer: any people, any numbers. Refused
// with std::invalid_argument alone, or people that were given, in order, none more than once.
#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

#include "choices.hpp"
#include "openpose_ext/doubles.hpp"
#include "openpose_ext/unite.hpp"

using namespace openpose_ext;
using namespace openpose_ext::fuzz;

namespace {

// People in order of their scores, as the decoder gives them; now and then tables that do not fit.
People choose_people(Choices& choices, int parts) {
    People people;
    people.count = choices.number(0, 4);
    people.parts = choices.byte() == 255 ? parts + 1 : parts;
    const auto cells = static_cast<std::size_t>(people.count) * people.parts;
    for (std::size_t i = 0; i < cells; ++i) {
        const int kind = choices.byte();
        const bool there = kind % 4 != 0;
        people.keypoints.push_back(there ? static_cast<float>(choices.byte()) : 0.0f);
        people.keypoints.push_back(there ? static_cast<float>(choices.byte()) : 0.0f);
        people.keypoints.push_back(there ? static_cast<float>(kind + 1) / 256 : 0.0f);
        people.filled.push_back(there && kind < 12 ? 1 : 0);
    }
    for (int i = 0; i < people.count; ++i) {
        people.scores.push_back(static_cast<float>(choices.byte()) / 255);
    }
    std::sort(people.scores.rbegin(), people.scores.rend());
    if (choices.byte() == 255) people.scores.push_back(0);
    return people;
}

void check(const People& people, const Topology& topology) {
    require(people.parts == topology.parts, "parts");
    const auto cells = static_cast<std::size_t>(people.count) * people.parts;
    require(people.keypoints.size() == 3 * cells && people.filled.size() == cells &&
                people.scores.size() == static_cast<std::size_t>(people.count),
            "shapes");
    for (const float value : people.keypoints) require(value >= 0 && value < 256, "point");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Workspace workspace;  // reused, as programs do
    Choices choices(data, size);
    const Topology& topology = choices.byte() % 2 == 0 ? coco_18() : body_25();
    try {
        People first = choose_people(choices, topology.parts);
        std::vector<Closer> closer(choices.number(0, 3));
        int given = first.count;
        for (Closer& look : closer) {
            look.people = choose_people(choices, topology.parts);
            given += look.people.count;
            const int whom = choices.number(0, 3);
            for (int i = 0; i < whom; ++i) look.whom.push_back(choices.number(-1, 4));
        }
        const int most = choices.number(0, 4);
        const People people = unite(first, closer, topology, most);
        check(people, topology);
        require(people.count <= given && (most == 0 || people.count <= most), "count");

        const int before = first.count;
        drop_doubles(first, topology, workspace);
        check(first, topology);
        require(first.count <= before && (before == 0 || first.count > 0), "left");
        const int once = first.count;
        drop_doubles(first, topology, workspace);
        require(first.count == once, "dropping again drops more");
    } catch (const std::invalid_argument&) {
        return 0;
    }
    return 0;
}
