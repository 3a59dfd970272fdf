#include "openpose_ext/assemble.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "canvas.hpp"

namespace openpose_ext {
namespace {

using testing::chain;
using testing::peaks_of;
using Connections = std::vector<std::vector<Connection>>;

// All peaks score 0.5.
Peaks peaks_with(const std::vector<int>& counts) {
    std::vector<std::vector<Peak>> parts;
    for (const int count : counts) {
        parts.emplace_back();
        for (int i = 0; i < count; ++i) {
            parts.back().push_back({static_cast<float>(i), static_cast<float>(parts.size()), 0.5f});
        }
    }
    return peaks_of(parts);
}

// Keeps everybody: only the joining is looked at.
DecodeOptions anybody() {
    DecodeOptions options;
    options.min_parts = 1;
    options.min_score = 0;
    return options;
}

Assembly join(const Peaks& peaks, const Topology& topology, const Connections& connections,
              const DecodeOptions& options = anybody()) {
    Workspace workspace;
    Assembly assembly;
    assemble(peaks, topology, connections, options, workspace, assembly);
    EXPECT_EQ(assembly.parts, topology.parts);
    EXPECT_EQ(assembly.peak.size(), static_cast<std::size_t>(assembly.people * topology.parts));
    EXPECT_EQ(assembly.score.size(), static_cast<std::size_t>(assembly.people));
    EXPECT_EQ(assembly.count.size(), static_cast<std::size_t>(assembly.people));
    return assembly;
}

// The person's peaks, -1 where missing.
std::vector<int> row(const Assembly& assembly, int person) {
    const auto first = assembly.peak.begin() + person * assembly.parts;
    return {first, first + assembly.parts};
}

// Part 0 is the trunk, where three limbs meet; 1 - 4 - 5 - 6 is an arm, 0 - 6 closes a loop.
Topology trunk_and_arm() {
    Topology topology;
    topology.parts = 7;
    topology.limbs = {{0, 1, 0, 1}, {0, 2, 2, 3},   {0, 3, 4, 5},        {1, 4, 6, 7},
                      {4, 5, 8, 9}, {5, 6, 10, 11}, {0, 6, 12, 13, true}};
    return topology;
}

// Four limbs of a length, the last one as given; parts lie in a row, `far` cells to the last.
Assembly row_of_five(float length, float far) {
    Topology topology = chain(5);
    for (Limb& limb : topology.limbs) limb.length = length;
    const Peaks peaks = peaks_of(
        {{{0, 0, .5f}}, {{4, 0, .5f}}, {{8, 0, .5f}}, {{12, 0, .5f}}, {{12 + far, 0, .5f}}});
    return join(peaks, topology, {{{0, 0, .9f}}, {{0, 0, .8f}}, {{0, 0, .7f}}, {{0, 0, .6f}}});
}

TEST(Assembly, DropsALimbFarLongerThanThePersonsOthers) {
    EXPECT_EQ(row(row_of_five(1, 11.9f), 0), (std::vector<int>{0, 1, 2, 3, 4}));
    EXPECT_EQ(row(row_of_five(1, 12.1f), 0), (std::vector<int>{0, 1, 2, 3, -1}));
    EXPECT_EQ(row(row_of_five(.25f, 12.1f), 0), (std::vector<int>{0, 1, 2, 3, -1})) << "of shares";
    EXPECT_EQ(row(row_of_five(0, 500), 0), (std::vector<int>{0, 1, 2, 3, 4})) << "no lengths";
}

TEST(Assembly, MeasuresALimbByItsOwnUsualLength) {
    Topology topology = chain(5);
    for (Limb& limb : topology.limbs) limb.length = 1;
    topology.limbs[3].length = 3;
    const Peaks peaks =
        peaks_of({{{0, 0, .5f}}, {{4, 0, .5f}}, {{8, 0, .5f}}, {{12, 0, .5f}}, {{42, 0, .5f}}});
    const Connections all = {{{0, 0, .9f}}, {{0, 0, .8f}}, {{0, 0, .7f}}, {{0, 0, .6f}}};
    EXPECT_EQ(row(join(peaks, topology, all), 0), (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(Assembly, OfFewLimbsTellsNoLength) {
    Topology topology = chain(3);
    for (Limb& limb : topology.limbs) limb.length = 1;
    const Peaks peaks = peaks_of({{{0, 0, .5f}}, {{4, 0, .5f}}, {{100, 0, .5f}}});
    EXPECT_EQ(row(join(peaks, topology, {{{0, 0, .9f}}, {{0, 0, .8f}}}), 0),
              (std::vector<int>{0, 1, 2}));
}

TEST(Assembly, DoesNotJoinTwoPeopleByALimbTooLongForBoth) {
    Topology topology = chain(6);
    for (Limb& limb : topology.limbs) limb.length = 1;
    const Peaks peaks = peaks_of({{{0, 0, .5f}},
                                  {{4, 0, .5f}},
                                  {{8, 0, .5f}},
                                  {{40, 0, .5f}},
                                  {{44, 0, .5f}},
                                  {{48, 0, .5f}}});
    const Connections all = {
        {{0, 0, .9f}}, {{0, 0, .8f}}, {{0, 0, .5f}}, {{0, 0, .8f}}, {{0, 0, .7f}}};
    EXPECT_EQ(join(peaks, topology, all).people, 2);
}

TEST(Assembly, OfNothingIsNobody) {
    EXPECT_EQ(join(peaks_with({0, 0, 0}), chain(3), Connections(2)).people, 0);
    EXPECT_EQ(join(peaks_with({3, 2, 1}), chain(3), Connections(2)).people, 0) << "peaks alone";
    EXPECT_EQ(join(peaks_with({1}), chain(1), {}).people, 0);
}

TEST(Assembly, JoinsAChainIntoOnePersonAndSumsItsEvidence) {
    const Assembly found = join(peaks_with({1, 1, 1}), chain(3), {{{0, 0, .9f}}, {{0, 0, .4f}}});
    ASSERT_EQ(found.people, 1);
    EXPECT_EQ(row(found, 0), (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(found.count[0], 3);
    EXPECT_FLOAT_EQ(found.score[0], 3 * .5f + .9f + .4f);
}

TEST(Assembly, KeepsPeopleApart) {
    const Assembly found = join(peaks_with({2, 2, 2}), chain(3),
                                {{{0, 1, .9f}, {1, 0, .8f}}, {{0, 0, .7f}, {1, 1, .6f}}});
    ASSERT_EQ(found.people, 2);
    EXPECT_EQ(row(found, 0), (std::vector<int>{0, 3, 5})) << "the best connection starts";
    EXPECT_EQ(row(found, 1), (std::vector<int>{1, 2, 4}));
}

TEST(Assembly, MergesTwoPiecesThatALimbJoins) {
    // The outer limbs are stronger, so both ends exist before the middle joins them.
    const Assembly found =
        join(peaks_with({1, 1, 1, 1}), chain(4), {{{0, 0, .9f}}, {{0, 0, .3f}}, {{0, 0, .8f}}});
    ASSERT_EQ(found.people, 1);
    EXPECT_EQ(row(found, 0), (std::vector<int>{0, 1, 2, 3}));
    EXPECT_EQ(found.count[0], 4);
    EXPECT_FLOAT_EQ(found.score[0], 4 * .5f + .9f + .3f + .8f);
}

TEST(Assembly, OfTwoPeopleSharingAWristLeavesTwo) {
    // Shoulder - elbow - wrist, and a limb from the shoulder to the wrist: both people claim the
    // one wrist, and have a shoulder and an elbow each.
    Topology topology = chain(3);
    topology.limbs.push_back({0, 2, 4, 5});
    const Assembly found = join(peaks_with({2, 2, 1}), topology,
                                {{{0, 0, .9f}, {1, 1, .9f}}, {{0, 0, .8f}}, {{1, 0, .7f}}});
    ASSERT_EQ(found.people, 2);
    EXPECT_EQ(row(found, 0), (std::vector<int>{0, 2, 4})) << "the stronger claim has it";
    EXPECT_EQ(row(found, 1), (std::vector<int>{1, 3, -1}));
    EXPECT_FLOAT_EQ(found.score[1], 2 * .5f + .9f) << "the dropped limb is no evidence";
}

TEST(Assembly, NeverGivesAPersonASecondPeakOfAPart) {
    // The elbow leads to one wrist, the shoulder to another.
    Topology topology = chain(3);
    topology.limbs.push_back({0, 2, 4, 5});
    const Assembly found =
        join(peaks_with({1, 1, 2}), topology, {{{0, 0, .9f}}, {{0, 0, .8f}}, {{0, 1, .7f}}});
    ASSERT_EQ(found.people, 1);
    EXPECT_EQ(row(found, 0), (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(found.count[0], 3);

    // And the wrist leads back to a second shoulder.
    const Assembly back =
        join(peaks_with({2, 1, 1}), topology, {{{0, 0, .9f}}, {{0, 0, .8f}}, {{1, 0, .7f}}});
    ASSERT_EQ(back.people, 1);
    EXPECT_EQ(row(back, 0), (std::vector<int>{0, 2, 3}));
    EXPECT_EQ(back.count[0], 3);
}

TEST(Assembly, StrongPeaksBreakTheTieOfEqualLimbs) {
    Peaks peaks = peaks_with({1, 1, 2});
    peaks.all[3].score = 0.9f;
    Topology topology = chain(3);
    topology.limbs.push_back({0, 2, 4, 5});
    const Assembly found = join(peaks, topology, {{{0, 0, .9f}}, {{0, 0, .7f}}, {{0, 1, .7f}}});
    ASSERT_EQ(found.people, 1);
    EXPECT_EQ(row(found, 0), (std::vector<int>{0, 1, 3}));
}

TEST(Assembly, ARedundantLimbNeverStartsAPerson) {
    Connections connections(7);
    connections[6] = {{0, 0, .9f}};
    EXPECT_EQ(join(peaks_with({1, 0, 0, 0, 0, 0, 1}), trunk_and_arm(), connections).people, 0);
}

TEST(Assembly, ARedundantLimbConfirmsAddsAPartAndMerges) {
    const Topology topology = trunk_and_arm();
    Connections connections(7);
    connections[0] = {{0, 0, .5f}};
    connections[6] = {{0, 0, .9f}};
    const Assembly added = join(peaks_with({1, 1, 0, 0, 0, 0, 1}), topology, connections);
    ASSERT_EQ(added.people, 1);
    EXPECT_EQ(row(added, 0), (std::vector<int>{0, 1, -1, -1, -1, -1, 2}));

    connections[5] = {{0, 0, .4f}};
    const Assembly merged = join(peaks_with({1, 1, 0, 0, 0, 1, 1}), topology, connections);
    ASSERT_EQ(merged.people, 1);
    EXPECT_EQ(merged.count[0], 4);

    connections[3] = connections[4] = {{0, 0, .4f}};
    const Assembly confirmed = join(peaks_with({1, 1, 0, 0, 1, 1, 1}), topology, connections);
    ASSERT_EQ(confirmed.people, 1);
    EXPECT_FLOAT_EQ(confirmed.score[0], 5 * .5f + .5f + 3 * .4f + .9f);
}

TEST(Assembly, ARedundantLimbComesLast) {
    // It is the strongest, and would take part 6 from the arm it belongs to.
    const Topology topology = trunk_and_arm();
    Connections connections(7);
    connections[0] = {{0, 0, .3f}, {1, 1, .3f}};
    connections[3] = connections[4] = connections[5] = {{1, 0, .2f}};
    connections[4][0].a = connections[5][0].a = 0;
    connections[6] = {{0, 0, .9f}};
    const Assembly found = join(peaks_with({2, 2, 0, 0, 1, 1, 1}), topology, connections);
    ASSERT_EQ(found.people, 2);
    EXPECT_EQ(row(found, 0)[6], -1);
    EXPECT_EQ(row(found, 1)[6], 6);
}

TEST(Assembly, DropsPeopleOfTooFewParts) {
    // Parts 0, 1, 4: with the trunk, so min_parts are enough.
    const Topology topology = trunk_and_arm();
    Connections connections(7);
    connections[0] = connections[3] = {{0, 0, .9f}};
    const Peaks peaks = peaks_with({1, 1, 0, 0, 1, 0, 0});
    DecodeOptions options = anybody();
    options.min_parts = 3;
    EXPECT_EQ(join(peaks, topology, connections, options).people, 1);
    options.min_parts = 4;
    EXPECT_EQ(join(peaks, topology, connections, options).people, 0);
}

TEST(Assembly, AsksOnePartMoreOfAnArmAlone) {
    const Topology topology = trunk_and_arm();
    DecodeOptions options = anybody();
    options.min_parts = 3;
    Connections connections(7);
    connections[3] = connections[4] = {{0, 0, .9f}};
    EXPECT_EQ(join(peaks_with({0, 1, 0, 0, 1, 1, 0}), topology, connections, options).people, 0);
    connections[5] = {{0, 0, .9f}};
    EXPECT_EQ(join(peaks_with({0, 1, 0, 0, 1, 1, 1}), topology, connections, options).people, 1);
}

TEST(Assembly, ARedundantLimbMakesNoTrunk) {
    // Two limbs and a redundant one meet in part 0.
    Topology topology = trunk_and_arm();
    topology.limbs.erase(topology.limbs.begin() + 2);
    Connections connections(6);
    connections[0] = connections[1] = {{0, 0, .9f}};
    DecodeOptions options = anybody();
    options.min_parts = 3;
    EXPECT_EQ(join(peaks_with({1, 1, 1, 0, 0, 0, 0}), topology, connections, options).people, 0);
}

TEST(Assembly, FeetMakeNobodyAPersonAndNoTrunk) {
    // A leg 1 - 4 - 5, a foot 6 that hangs on it, and toes 2 and 3 beyond.
    Topology topology;
    topology.parts = 7;
    topology.limbs = {{1, 4, 0, 1}, {4, 5, 2, 3}, {5, 6, 4, 5}, {5, 2, 6, 7}, {2, 3, 8, 9}};
    const Connections connections(5, {{0, 0, .9f}});
    const Peaks peaks = peaks_with({0, 1, 1, 1, 1, 1, 1});
    DecodeOptions options = anybody();
    options.min_parts = 3;
    EXPECT_EQ(join(peaks, topology, connections, options).people, 1) << "six parts of a body";
    topology.feet = {2, 3, 6};
    EXPECT_EQ(join(peaks, topology, connections, options).people, 0) << "three, and no trunk";
    options.min_parts = 2;
    const Assembly found = join(peaks, topology, connections, options);
    ASSERT_EQ(found.people, 1);
    EXPECT_EQ(found.count[0], 6) << "who is a person has feet";
}

TEST(Assembly, DropsPeopleOfTooLittleEvidenceAPart) {
    // (3 * 0.5 + 0.3 + 0.3) / 3 = 0.7
    const Connections connections{{{0, 0, .3f}}, {{0, 0, .3f}}};
    DecodeOptions options = anybody();
    options.min_score = 0.69;
    EXPECT_EQ(join(peaks_with({1, 1, 1}), chain(3), connections, options).people, 1);
    options.min_score = 0.71;
    EXPECT_EQ(join(peaks_with({1, 1, 1}), chain(3), connections, options).people, 0);
}

TEST(Assembly, ForgetsTheCallBefore) {
    Workspace workspace;
    Assembly assembly;
    assemble(peaks_with({4, 4, 4}), chain(3),
             {{{0, 0, .9f}, {1, 1, .9f}, {2, 2, .9f}}, {{0, 1, .5f}, {3, 3, .5f}}}, anybody(),
             workspace, assembly);
    ASSERT_EQ(assembly.people, 4);
    assemble(peaks_with({1, 1, 1}), chain(3), {{{0, 0, .9f}}, {}}, anybody(), workspace, assembly);
    ASSERT_EQ(assembly.people, 1);
    EXPECT_EQ(row(assembly, 0), (std::vector<int>{0, 1, -1}));
}

TEST(Assembly, OfALongChainInAnyOrderIsOnePerson) {
    constexpr int kParts = 70;
    Connections connections;
    for (int l = 0; l + 1 < kParts; ++l) {
        connections.push_back({{0, 0, 0.1f + 0.01f * static_cast<float>(l * 37 % 70)}});
    }
    const Assembly found =
        join(peaks_with(std::vector<int>(kParts, 1)), chain(kParts), connections);
    ASSERT_EQ(found.people, 1);
    EXPECT_EQ(found.count[0], kParts);
    std::vector<int> everything(kParts);
    std::iota(everything.begin(), everything.end(), 0);
    EXPECT_EQ(row(found, 0), everything);
}

}  // namespace
}  // namespace openpose_ext
