#include "openpose_ext/fill.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "canvas.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;
using testing::chain;
using testing::peaks_of;

constexpr int kHeight = 40;
constexpr int kWidth = 40;

// People given as rows of peaks' indices.
Assembly people(int parts, const std::vector<std::vector<int>>& rows) {
    Assembly assembly;
    assembly.parts = parts;
    assembly.people = static_cast<int>(rows.size());
    for (const std::vector<int>& row : rows) {
        assembly.peak.insert(assembly.peak.end(), row.begin(), row.end());
    }
    assembly.score.assign(rows.size(), 1);
    assembly.count.assign(rows.size(), 1);
    assembly.size.assign(rows.size(), 0);
    return assembly;
}

// A chain of parts on a canvas of its own.
struct Scene {
    Topology topology;
    Canvas heat;
    Canvas paf;

    explicit Scene(int parts)
        : topology(chain(parts)), heat(parts, kHeight, kWidth), paf(2 * parts, kHeight, kWidth) {}

    std::vector<Peak> filled(const Peaks& peaks, const Assembly& assembly) const {
        Workspace workspace;
        Filled result;
        fill(heat.view(), paf.view(), peaks, topology, assembly, workspace, result);
        EXPECT_EQ(result.at.size(), assembly.peak.size());
        return result.at;
    }
};

TEST(Fill, FindsAWeakPartAlongTheField) {
    Scene scene(2);
    const Peak elbow{10, 10, 0.8f};
    const Peak wrist{18.3f, 15.2f, 0};
    scene.heat.blob(1, wrist.x, wrist.y, 0.06f);
    scene.paf.field(scene.topology.limbs[0], elbow, wrist, 0.5f);
    const auto found = scene.filled(peaks_of({{elbow}, {}}), people(2, {{0, -1}}));
    EXPECT_NEAR(found[1].x, wrist.x, 1e-3);
    EXPECT_NEAR(found[1].y, wrist.y, 1e-3);
    EXPECT_GT(found[1].score, 0.04f);
    EXPECT_LE(found[1].score, 0.06f);
    EXPECT_EQ(found[0].score, 0) << "a seen part is left alone";
}

TEST(Fill, GoesAgainstTheFieldFromItsEnd) {
    Scene scene(2);
    const Peak elbow{10, 10, 0};
    const Peak wrist{18, 15, 0.8f};
    scene.heat.blob(0, elbow.x, elbow.y, 0.06f);
    scene.paf.field(scene.topology.limbs[0], elbow, wrist, 0.5f);
    const auto found = scene.filled(peaks_of({{}, {wrist}}), people(2, {{-1, 0}}));
    EXPECT_NEAR(found[0].x, elbow.x, 1e-3);
    EXPECT_NEAR(found[0].y, elbow.y, 1e-3);
    EXPECT_GT(found[0].score, 0.04f);
}

TEST(Fill, NeedsHeatAndAField) {
    const Peak elbow{10, 10, 0.8f};
    const Peak wrist{20, 10, 0};
    for (const bool with_heat : {false, true}) {
        for (const bool with_field : {false, true}) {
            Scene scene(2);
            if (with_heat) scene.heat.blob(1, wrist.x, wrist.y, 0.06f);
            if (with_field) scene.paf.field(scene.topology.limbs[0], elbow, wrist, 0.5f);
            const auto found = scene.filled(peaks_of({{elbow}, {}}), people(2, {{0, -1}}));
            EXPECT_EQ(found[1].score > 0, with_heat && with_field)
                << "heat " << with_heat << ", field " << with_field;
        }
    }
}

TEST(Fill, DoesNotTakeAnotherPersonsPart) {
    Scene scene(2);
    const Peak mine{10, 10, 0.8f};
    const Peak theirs{10, 20, 0.8f};
    const Peak wrist{18, 15, 0.7f};
    scene.heat.blob(1, wrist.x, wrist.y, 0.7f);
    scene.paf.field(scene.topology.limbs[0], mine, wrist, 0.5f);
    const Peaks peaks = peaks_of({{mine, theirs}, {wrist}});
    EXPECT_EQ(scene.filled(peaks, people(2, {{0, -1}, {1, 2}}))[1].score, 0);
    EXPECT_GT(scene.filled(peaks, people(2, {{0, -1}, {1, -1}}))[1].score, 0)
        << "a peak that nobody has is free";
}

TEST(Fill, FollowsAChainOfMissingParts) {
    // Only the first and the last of five are known: two are reached from either side.
    Scene scene(5);
    std::vector<Peak> parts;
    for (int k = 0; k < 5; ++k) {
        parts.push_back({5 + 6 * static_cast<float>(k), 10 + 2 * static_cast<float>(k % 2), .8f});
        scene.heat.blob(k, parts[k].x, parts[k].y, 0.05f);
    }
    for (int l = 0; l < 4; ++l) {
        scene.paf.field(scene.topology.limbs[l], parts[l], parts[l + 1], 0.5f);
    }
    const auto found = scene.filled(peaks_of({{parts[0]}, {}, {}, {}, {parts[4]}}),
                                    people(5, {{0, -1, -1, -1, 1}}));
    for (int k = 1; k < 4; ++k) {
        EXPECT_NEAR(found[k].x, parts[k].x, 0.05) << k;
        EXPECT_NEAR(found[k].y, parts[k].y, 0.05) << k;
        EXPECT_GT(found[k].score, 0) << k;
    }
}

TEST(Fill, FollowsAChainBackFromItsEnd) {
    // Each part is known only after the one behind it: a round a part.
    Scene scene(4);
    std::vector<Peak> parts;
    for (int k = 0; k < 4; ++k) {
        parts.push_back({5 + 8 * static_cast<float>(k), 10, .8f});
        scene.heat.blob(k, parts[k].x, parts[k].y, 0.05f);
    }
    for (int l = 0; l < 3; ++l) {
        scene.paf.field(scene.topology.limbs[l], parts[l], parts[l + 1], 0.5f);
    }
    const auto found =
        scene.filled(peaks_of({{}, {}, {}, {parts[3]}}), people(4, {{-1, -1, -1, 0}}));
    for (int k = 0; k < 3; ++k) EXPECT_NEAR(found[k].x, parts[k].x, 0.05) << k;
}

TEST(Fill, NeedsAFieldAlongTheStraightLine) {
    // The way goes right, then down; nothing runs from its start to its end.
    Scene scene(2);
    const Limb& limb = scene.topology.limbs[0];
    scene.paf.field(limb, {5, 5, 1}, {25, 5, 1}, 0.9f, 0.5f);
    scene.paf.field(limb, {25, 5, 1}, {25, 30, 1}, 0.9f, 0.5f);
    scene.heat.blob(1, 25, 30, 0.08f);
    const Peaks peaks = peaks_of({{{5, 5, 1}}, {}});
    EXPECT_EQ(scene.filled(peaks, people(2, {{0, -1}}))[1].score, 0);
    scene.paf.field(limb, {5, 5, 1}, {25, 30, 1}, 0.9f, 0.5f);
    EXPECT_GT(scene.filled(peaks, people(2, {{0, -1}}))[1].score, 0);
}

TEST(Fill, ClimbsFromBesideTheWayToTheMaximum) {
    Scene scene(2);
    scene.paf.field(scene.topology.limbs[0], {10, 10, 1}, {20, 10, 1}, 0.9f, 3.5f);
    scene.heat.blob(1, 20, 13, 0.08f, 1.5f);
    const auto found = scene.filled(peaks_of({{{10, 10, 1}}, {}}), people(2, {{0, -1}}));
    EXPECT_NEAR(found[1].x, 20, 0.05);
    EXPECT_NEAR(found[1].y, 13, 0.05);
}

TEST(Fill, EndsWhereTheFieldHasALongGap) {
    Scene scene(2);
    const Limb& limb = scene.topology.limbs[0];
    scene.paf.field(limb, {5, 10, 1}, {30, 10, 1}, 0.9f, 0.5f);
    scene.heat.blob(1, 30, 10, 0.08f);
    const Peaks peaks = peaks_of({{{5, 10, 1}}, {}});
    scene.paf.at(limb.paf_x, 10, 15) = 0;
    EXPECT_GT(scene.filled(peaks, people(2, {{0, -1}}))[1].score, 0) << "one cell is no end";
    for (int x = 15; x < 21; ++x) scene.paf.at(limb.paf_x, 10, x) = 0;
    EXPECT_EQ(scene.filled(peaks, people(2, {{0, -1}}))[1].score, 0);
}

TEST(Fill, PrefersTheStrongerFieldToEqualHeat) {
    for (const bool first_is_stronger : {true, false}) {
        Scene scene(3);
        scene.topology.limbs = {{0, 2, 0, 1}, {1, 2, 2, 3}};
        const Peak zero{8, 10, 0.8f};
        const Peak one{8, 30, 0.8f};
        scene.heat.blob(2, 18, 10, 0.05f);
        scene.heat.blob(2, 18, 30, 0.05f);
        scene.paf.field(scene.topology.limbs[0], zero, {18, 10, 0}, first_is_stronger ? 0.9f : .3f);
        scene.paf.field(scene.topology.limbs[1], one, {18, 30, 0}, 0.6f);
        const auto found = scene.filled(peaks_of({{zero}, {one}, {}}), people(3, {{0, 1, -1}}));
        EXPECT_NEAR(found[2].y, first_is_stronger ? 10 : 30, 0.05);
    }
}

TEST(Fill, PrefersTheCandidateOfMoreHeatAndField) {
    // Part 2 is joined to 0 and to 1; the fields lead to two places.
    for (const bool first_is_stronger : {true, false}) {
        Scene scene(3);
        scene.topology.limbs = {{0, 2, 0, 1}, {1, 2, 2, 3}};
        const Peak zero{8, 10, 0.8f};
        const Peak one{8, 30, 0.8f};
        const Peak of_zero{18, 10, 0};
        const Peak of_one{18, 30, 0};
        scene.heat.blob(2, of_zero.x, of_zero.y, first_is_stronger ? 0.09f : 0.03f);
        scene.heat.blob(2, of_one.x, of_one.y, 0.05f);
        scene.paf.field(scene.topology.limbs[0], zero, of_zero, 0.5f);
        scene.paf.field(scene.topology.limbs[1], one, of_one, 0.5f);
        const auto found = scene.filled(peaks_of({{zero}, {one}, {}}), people(3, {{0, 1, -1}}));
        EXPECT_NEAR(found[2].y, first_is_stronger ? of_zero.y : of_one.y, 0.05);
    }
}

TEST(Fill, LeavesPartsWithoutALimbMissing) {
    Scene scene(2);
    scene.topology.limbs.clear();
    scene.heat.blob(1, 15, 10, 0.09f);
    EXPECT_EQ(scene.filled(peaks_of({{{10, 10, 1}}, {}}), people(2, {{0, -1}}))[1].score, 0);
}

TEST(Fill, OfNobodyIsNothing) {
    Scene scene(2);
    EXPECT_TRUE(scene.filled(peaks_of({{}, {}}), people(2, {})).empty());
}

TEST(Fill, EndsInAFieldThatGoesInCircles) {
    Scene scene(2);
    for (int y = 0; y < kHeight; ++y) {
        for (int x = 0; x < kWidth; ++x) {
            const float dx = static_cast<float>(x) - 20;
            const float dy = static_cast<float>(y) - 20;
            const float length = std::max(std::hypot(dx, dy), 1.0f);
            scene.paf.at(0, y, x) = -dy / length;
            scene.paf.at(1, y, x) = dx / length;
            scene.heat.at(1, y, x) = 0.02f + 0.001f * static_cast<float>(x);
        }
    }
    const auto found = scene.filled(peaks_of({{{25, 20, 1}}, {}}), people(2, {{0, -1}}));
    EXPECT_TRUE(std::isfinite(found[1].x) && std::isfinite(found[1].y));
}

TEST(Fill, StaysInTheMapsWhateverTheyHold) {
    constexpr float kLargest = std::numeric_limits<float>::max();
    const float values[] = {std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(),
                            kLargest,
                            -kLargest,
                            1,
                            0.04f};
    for (const float heat : values) {
        for (const float field : values) {
            Scene scene(3);
            for (float& cell : scene.heat.cells()) cell = heat;
            for (float& cell : scene.paf.cells()) cell = field;
            for (const Peak& corner : {Peak{-0.5f, -0.5f, 1}, Peak{39.5f, 39.5f, 1},
                                       Peak{-0.5f, 39.5f, 1}, Peak{20, 20, 1}}) {
                const auto found =
                    scene.filled(peaks_of({{}, {corner}, {}}), people(3, {{-1, 0, -1}}));
                for (const Peak& part : found) {
                    EXPECT_TRUE(part.x >= -0.5f && part.x <= kWidth - 0.5f) << part.x;
                    EXPECT_TRUE(part.y >= -0.5f && part.y <= kHeight - 0.5f) << part.y;
                    EXPECT_TRUE(part.score >= 0 && part.score <= 1) << part.score;
                }
            }
        }
    }
}

}  // namespace
}  // namespace openpose_ext
