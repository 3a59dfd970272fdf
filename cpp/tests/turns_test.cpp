#include "openpose_ext/turns.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "persons.hpp"

namespace openpose_ext {
namespace {

using testing::people_of;
using testing::Points;
using testing::standing;
using testing::stick;

using Pairs = std::vector<std::pair<int, int>>;

Pairs best(const std::vector<People>& looks, const Topology& topology = stick()) {
    Pairs pairs;
    for (const Sighting& one : best_of_turns(looks, topology)) {
        pairs.emplace_back(one.look, one.person);
    }
    return pairs;
}

// Four parts in a row, to the right of the first.
Points lying(float x, float y, float limb) {
    Points person = standing(0, 0, limb);
    for (std::size_t part = 0; part < 4; ++part) {
        person[3 * part] = x + limb * static_cast<float>(part);
        person[3 * part + 1] = y;
    }
    return person;
}

TEST(Turns, PeopleOfTurnedLooksAreAddedForLessOfTheirScore) {
    const People upright = people_of({standing(100, 100, 50)}, {0.5f});
    EXPECT_EQ(best({upright, people_of({lying(300, 100, 50)}, {0.8f})}), (Pairs{{0, 0}, {1, 0}}));
    const People better = people_of({lying(300, 100, 50)}, {0.9f});
    EXPECT_EQ(best({upright, better}), (Pairs{{1, 0}, {0, 0}}));
    const std::vector<Sighting> seen = best_of_turns(std::vector{upright, better}, stick());
    EXPECT_FLOAT_EQ(seen[0].score, 0.54f);
    EXPECT_EQ(seen[1].score, 0.5f);
}

TEST(Turns, SomebodySeenInTwoLooksIsTakenFromTheBetterOne) {
    const People upright = people_of({standing(100, 100, 50)}, {0.5f});
    const auto also = [&](float score) {
        return best({upright, people_of({}, {}), people_of({standing(101, 99, 50)}, {score})});
    };
    EXPECT_EQ(also(0.8f), (Pairs{{0, 0}}));
    EXPECT_EQ(also(0.9f), (Pairs{{2, 0}}));
}

TEST(Turns, WhoSharesABoxWithSomebodyBetterOfAnotherLookIsNobody) {
    Points wide = standing(100, 100, 50);
    wide[3] = 250;
    const People upright = people_of({wide}, {0.8f});
    EXPECT_EQ(best({upright, people_of({lying(110, 150, 30)}, {0.9f})}), (Pairs{{0, 0}}));
    EXPECT_EQ(best({upright, people_of({lying(220, 150, 30)}, {0.9f})}), (Pairs{{0, 0}, {1, 0}}))
        << "less than half of it";
}

TEST(Turns, PeopleOfOneLookMayBeAsCloseAsTheyLike) {
    const People close = people_of({standing(100, 100, 50), standing(101, 100, 50)}, {0.5f, 0.4f});
    EXPECT_EQ(best({close}), (Pairs{{0, 0}, {0, 1}}));
    EXPECT_EQ(best({people_of({}, {}), close}), (Pairs{{1, 0}, {1, 1}}));
}

TEST(Turns, HalfOfTheirPartsHaveToBeSeenButFeet) {
    Points seen = standing(100, 100, 50);
    seen[2] = seen[5] = kFilledScore;  // filled in
    Points hardly = seen;
    hardly[8] = kFilledScore;
    const People two = people_of({seen}, {0.5f});
    const People one = people_of({hardly}, {0.5f});
    EXPECT_EQ(best({people_of({}, {}), two}), (Pairs{{1, 0}}));
    EXPECT_EQ(best({people_of({}, {}), one}), Pairs{});
    EXPECT_EQ(best({one}), (Pairs{{0, 0}})) << "the right way up anybody counts";
    Topology with_foot = stick();
    with_foot.feet = {3};  // which leaves one of three
    EXPECT_EQ(best({people_of({}, {}), two}, with_foot), Pairs{});
}

TEST(Turns, EqualScoresKeepTheirOrderAndNobodyIsFine) {
    EXPECT_EQ(best({}), Pairs{});
    EXPECT_EQ(best({people_of({}, {}), people_of({}, {})}), Pairs{});
    const People two = people_of({standing(100, 100, 20), standing(500, 100, 20)}, {0.5f, 0.5f});
    EXPECT_EQ(best({two, people_of({}, {})}), (Pairs{{0, 0}, {0, 1}}));
}

TEST(Turns, HostileTablesAreRefused) {
    People wrong = people_of({standing(100, 100, 50)}, {0.5f});
    wrong.parts = 5;
    EXPECT_THROW(best({wrong}), std::invalid_argument);
    Points endless = standing(100, 100, 50);
    endless[0] = std::numeric_limits<float>::infinity();
    EXPECT_THROW(best({people_of({endless}, {0.5f})}), std::invalid_argument);
    const Points nothing(12, 0.0f);
    EXPECT_EQ(best({people_of({nothing, nothing}, {0.1f, 0.1f})}), (Pairs{{0, 0}, {0, 1}}));
}

}  // namespace
}  // namespace openpose_ext
