#include "openpose_ext/unite.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "persons.hpp"

namespace openpose_ext {
namespace {

using testing::people_of;
using testing::Points;
using testing::standing;
using testing::stick;

People united(const People& first, const std::vector<Closer>& closer, int most = 0) {
    return unite(first, closer, stick(), most);
}

TEST(Unite, APersonGetsThePartsAndTheScoreOfTheCloserLook) {
    const People first = people_of({standing(100, 100, 50)}, {0.4f});
    const Closer closer{people_of({standing(102, 101, 51, 0.9f)}, {0.7f}), {0}};
    const People found = united(first, {closer});
    ASSERT_EQ(found.count, 1);
    EXPECT_EQ(found.keypoints, closer.people.keypoints);
    EXPECT_EQ(found.scores, closer.people.scores);
}

TEST(Unite, PartsThatTheCloserLookLacksStay) {
    People first = people_of({standing(100, 100, 50)}, {0.4f});
    first.filled[3] = 1;
    Points closer = standing(102, 101, 51);
    closer[9] = closer[10] = closer[11] = 0;
    const People found = united(first, {{people_of({closer}, {0.7f}), {0}}});
    ASSERT_EQ(found.count, 1);
    EXPECT_EQ(found[0][0].x, 102);
    EXPECT_EQ(found[0][3].x, first[0][3].x);
    EXPECT_EQ(found[0][3].y, first[0][3].y);
    EXPECT_EQ(found.filled, (std::vector<std::uint8_t>{0, 0, 0, 1}));
}

TEST(Unite, APartSeenBeforeAndGuessedAtTheSamePlaceStaysSeen) {
    const People first = people_of({standing(100, 100, 50, 0.6f)}, {0.4f});
    Points guess = standing(102, 101, 51, 0.8f);
    guess[11] = 0.01f;
    const auto last_part = [&](const Points& points) {
        People closer = people_of({points}, {0.7f});
        closer.filled[3] = 1;
        const People found = united(first, {{closer, {0}}});
        EXPECT_EQ(found.count, 1);
        EXPECT_EQ(found[0][3].x, points[9]);
        EXPECT_EQ(found[0][3].y, points[10]);
        EXPECT_EQ(found.filled, (std::vector<std::uint8_t>{0, 0, 0, found[0][3].score < 0.1f}));
        return found[0][3].score;
    };
    EXPECT_EQ(last_part(guess), 0.6f);
    guess[9] += 60;
    EXPECT_EQ(last_part(guess), 0.01f) << "somewhere else";
}

TEST(Unite, SomebodyWhomTheCloserLookDoesNotFindStays) {
    const People first = people_of({standing(100, 100, 50)}, {0.4f});
    EXPECT_EQ(united(first, {{people_of({}, {}), {0}}}).keypoints, first.keypoints);
    EXPECT_EQ(united(first, {}).keypoints, first.keypoints);
}

TEST(Unite, SomebodyMadeOfTwoOthersIsNobody) {
    const Points one = standing(100, 100, 50);
    const Points other = standing(300, 100, 50);
    Points mixed = one;
    std::copy(other.begin() + 6, other.end(), mixed.begin() + 6);
    const People first = people_of({one, other, mixed}, {0.6f, 0.5f, 0.4f});
    const Closer closer{people_of({one, other}, {0.9f, 0.8f}), {0, 1, 2}};
    EXPECT_EQ(united(first, {closer}).scores, (std::vector<float>{0.9f, 0.8f}));
    // Whom nobody else is like stays.
    const People stranger = people_of({one, other, standing(600, 100, 50)}, {0.6f, 0.5f, 0.4f});
    EXPECT_EQ(united(stranger, {closer}).count, 3);
}

TEST(Unite, APatternOnSomebodyIsNobody) {
    Points wide = standing(100, 100, 50);
    wide[3] = 160;  // stretched out
    const People first = people_of({wide}, {0.4f});
    const Points small = standing(120, 150, 15);
    const auto scores = [&](float of_small) {
        return united(first, {{people_of({wide, small}, {0.8f, of_small}), {0}}}).scores;
    };
    EXPECT_EQ(scores(0.39f), std::vector<float>{0.8f});
    EXPECT_EQ(scores(0.41f), (std::vector<float>{0.8f, 0.41f})) << "a child in front of them";
}

TEST(Unite, SomebodyWhomOnlyTheCloserLookFindsIsAdded) {
    const People first = people_of({standing(100, 100, 50)}, {0.4f});
    const Closer closer{people_of({standing(300, 100, 50), standing(100, 100, 50)}, {0.9f, 0.6f}),
                        {0}};
    const People found = united(first, {closer});
    ASSERT_EQ(found.count, 2);
    EXPECT_EQ(found.scores, (std::vector<float>{0.9f, 0.6f}));
    EXPECT_EQ(found[0][0].x, 300);
    EXPECT_EQ(united(first, {closer}, 1).scores, std::vector<float>{0.9f});
}

TEST(Unite, ANeighbourSeenInTwoRegionsIsOnePerson) {
    const People first = people_of({standing(100, 100, 50), standing(180, 100, 50)}, {0.4f, 0.3f});
    const Closer one{people_of({standing(100, 100, 50), standing(181, 100, 50)}, {0.9f, 0.95f}),
                     {0}};
    const Closer other{people_of({standing(182, 100, 50)}, {0.8f}), {1}};
    const People found = united(first, {one, other});
    ASSERT_EQ(found.count, 2);
    EXPECT_EQ(found[1][0].x, 182) << "their own region counts";
    EXPECT_EQ(found.scores, (std::vector<float>{0.9f, 0.8f}));
}

TEST(Unite, SomebodyIsFoundInTheRegionOfANeighbour) {
    const People first = people_of({standing(100, 100, 50), standing(180, 100, 50)}, {0.4f, 0.3f});
    // Too far from the first look's to be dropped as their double.
    const Closer one{people_of({standing(100, 100, 50), standing(202, 100, 50)}, {0.9f, 0.8f}),
                     {0}};
    const Closer other{people_of({}, {}), {1}};
    const People found = united(first, {one, other});
    EXPECT_EQ(found.scores, (std::vector<float>{0.9f, 0.8f}));
}

TEST(Unite, TwoPeopleOfARegionDoNotTakeTheSamePerson) {
    const People first = people_of({standing(100, 100, 50), standing(134, 100, 50)}, {0.4f, 0.3f});
    // Nearer to the first, but like enough to the second, too.
    const Closer closer{people_of({standing(112, 100, 50)}, {0.5f}), {0, 1}};
    const People found = united(first, {closer});
    ASSERT_EQ(found.count, 2);
    EXPECT_EQ(found[0][0].x, 112);
    EXPECT_EQ(found[1][0].x, 134);
}

TEST(Unite, TheResultIsSortedAndEqualScoresKeepTheirOrder) {
    const People first = people_of(
        {standing(100, 0, 20), standing(300, 0, 20), standing(500, 0, 20)}, {0.5f, 0.5f, 0.4f});
    const Closer closer{people_of({standing(500, 0, 20)}, {0.9f}), {2}};
    const People found = united(first, {closer});
    EXPECT_EQ(found[0][0].x, 500);
    EXPECT_EQ(found[1][0].x, 100);
    EXPECT_EQ(found[2][0].x, 300);
}

TEST(Unite, NobodyGivesNobody) {
    EXPECT_EQ(united(people_of({}, {}), {}).count, 0);
    EXPECT_EQ(united(people_of({}, {}), {{people_of({}, {}), {}}}).count, 0);
}

TEST(Unite, ACloserLookAtNobodyIsRefused) {
    const People first = people_of({standing(100, 100, 50)}, {0.4f});
    EXPECT_THROW(united(first, {{people_of({}, {}), {1}}}), std::invalid_argument);
    EXPECT_THROW(united(first, {{people_of({}, {}), {-1}}}), std::invalid_argument);
}

}  // namespace
}  // namespace openpose_ext
