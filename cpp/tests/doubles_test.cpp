#include "openpose_ext/doubles.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "persons.hpp"

namespace openpose_ext {
namespace {

using testing::people_of;
using Points = testing::Points;
using testing::standing;
using testing::stick;

void dropped(People& people) {
    Workspace workspace;
    drop_doubles(people, stick(), workspace);
}

TEST(Doubles, StatureIsToldByTheMiddleLimb) {
    const Topology topology = stick();
    Points person = standing(0, 0, 100);
    EXPECT_NEAR(stature(person.data(), topology), 330, 1);
    person[10] = 900;  // the last limb is far too long
    EXPECT_EQ(stature(person.data(), topology), 900) << "as tall as what was seen of the person";
    person[10] = 210;  // ... and far too short
    EXPECT_NEAR(stature(person.data(), topology), 330, 1);
}

TEST(Doubles, StatureOfAPersonWithoutLimbsIsTheirExtent) {
    Points person(12, 0.0f);
    EXPECT_EQ(stature(person.data(), stick()), 0);
    person[0] = 10;
    person[1] = 20;
    person[2] = 0.9f;
    EXPECT_EQ(stature(person.data(), stick()), 0);
    person[9] = 40;
    person[10] = 60;
    person[11] = 0.04f;  // filled parts say nothing
    EXPECT_EQ(stature(person.data(), stick()), 0);
}

TEST(Doubles, LikenessIsCocosSimilarityOverCommonParts) {
    const Topology topology = stick();
    const Points one = standing(0, 0, 100);
    Points other = one;
    other[0] += 8;         // the first part, 8 pixels off
    other[3 * 3 + 2] = 0;  // the last one missing
    const Likeness likeness = compare(one.data(), other.data(), 200, topology);
    EXPECT_EQ(likeness.common, 3);
    EXPECT_EQ(likeness.fewer, 3);
    const double area = 0.25 * 200 * 200;
    const double first = std::exp(-64.0 / (2 * area * 0.2 * 0.2));
    EXPECT_NEAR(likeness.oks, (first + 2) / 3, 1e-5);
}

TEST(Doubles, PeopleWithoutCommonPartsAreNotAlike) {
    const Points one = standing(0, 0, 100);
    const Points nobody(12, 0.0f);
    const Likeness likeness = compare(one.data(), nobody.data(), 100, stick());
    EXPECT_EQ(likeness.oks, 0);
    EXPECT_EQ(likeness.common, 0);
    EXPECT_FALSE(same_person(Likeness{}));
}

TEST(Doubles, TheLaterOfTwoSkeletonsOfAPersonIsDropped) {
    const Points one = standing(100, 100, 100);
    const Points same = standing(103, 101, 100);
    const Points other = standing(400, 100, 100);
    People people = people_of({one, other, same}, {0.9f, 0.5f, 0.4f});
    dropped(people);
    ASSERT_EQ(people.count, 2);
    EXPECT_EQ(people.scores, (std::vector<float>{0.9f, 0.5f}));
    EXPECT_EQ(people[1][0].x, 400);
    EXPECT_EQ(people.filled.size(), 8u);
}

TEST(Doubles, SomebodyOfOnePartInCommonStays) {
    Points half = standing(100, 100, 100);
    half[2] = half[5] = 0;  // two parts left, one of them where the other person has it
    Points rest = standing(100, 100, 100);
    rest[8] = 0;
    rest[9] += 300;
    People people = people_of({half, rest}, {0.9f, 0.4f});
    dropped(people);
    EXPECT_EQ(people.count, 2);
}

TEST(Doubles, NobodyStaysNobody) {
    People people = people_of({}, {});
    dropped(people);
    EXPECT_EQ(people.count, 0);
}

TEST(Doubles, TablesThatDoNotFitAreRefused) {
    People people = people_of({standing(0, 0, 10)}, {1.0f});
    people.scores.push_back(1);
    EXPECT_THROW(dropped(people), std::invalid_argument);
    people.scores.pop_back();
    people.keypoints[0] = NAN;
    EXPECT_THROW(dropped(people), std::invalid_argument);
}

}  // namespace
}  // namespace openpose_ext
