#include "openpose_ext/limbs.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <limits>
#include <vector>

#include "canvas.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;
using testing::peaks_of;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const Limb kLimb{0, 1, 0, 1};

std::vector<Connection> score(const MapView& paf, const Peaks& peaks,
                              const DecodeOptions& options = {}, const Limb& limb = kLimb) {
    Workspace workspace;
    std::vector<Connection> connections{{7, 7, 7}};  // what an earlier call left behind
    score_limb(paf, limb, peaks, options, workspace, connections);
    return connections;
}

// The score of the only pair, 0 if it is refused.
float score_pair(const MapView& paf, const Peak& a, const Peak& b,
                 const DecodeOptions& options = {}) {
    const std::vector<Connection> connections = score(paf, peaks_of({{a}, {b}}), options);
    EXPECT_LE(connections.size(), 1U);
    return connections.empty() ? 0 : connections[0].score;
}

// A field of one value in all cells.
Canvas uniform(float x, float y, int height = 40, int width = 40) {
    Canvas paf(2, height, width);
    for (int row = 0; row < height; ++row) {
        for (int column = 0; column < width; ++column) {
            paf.at(0, row, column) = x;
            paf.at(1, row, column) = y;
        }
    }
    return paf;
}

TEST(Limbs, ScoreTheFieldAlongThem) {
    const Canvas right = uniform(1, 0);
    EXPECT_FLOAT_EQ(score_pair(right.view(), {5, 5, 1}, {15, 5, 1}), 1);
    EXPECT_FLOAT_EQ(score_pair(right.view(), {5, 5, 1}, {15, 15, 1}), std::sqrt(0.5f));
    EXPECT_FLOAT_EQ(score_pair(uniform(0.3f, 0.4f).view(), {3, 4, 1}, {9, 12, 1}), 0.5f);
    EXPECT_EQ(score_pair(right.view(), {5, 5, 1}, {5, 15, 1}), 0) << "across";
    EXPECT_EQ(score_pair(right.view(), {15, 5, 1}, {5, 5, 1}), 0) << "against";
}

TEST(Limbs, AreSampledBetweenTheCells) {
    // The field rises with the row, so a line between two rows has the mean of both.
    Canvas paf(2, 40, 40);
    for (int y = 0; y < 40; ++y) {
        for (int x = 0; x < 40; ++x) paf.at(0, y, x) = 0.02f * static_cast<float>(y);
    }
    for (const float y : {10.0f, 10.25f, 10.5f, 10.75f}) {
        EXPECT_NEAR(score_pair(paf.view(), {5.3f, y, 1}, {15.8f, y, 1}), 0.02f * y, 1e-5);
    }
}

TEST(Limbs, LongerThanHalfThePictureLoseByThePrior) {
    const Canvas paf = uniform(1, 0, 10, 60);
    EXPECT_FLOAT_EQ(score_pair(paf.view(), {5, 5, 1}, {9, 5, 1}), 1);
    EXPECT_FLOAT_EQ(score_pair(paf.view(), {5, 5, 1}, {10, 5, 1}), 1) << "half the height";
    EXPECT_FLOAT_EQ(score_pair(paf.view(), {5, 5, 1}, {15, 5, 1}), 0.5f);
    EXPECT_FLOAT_EQ(score_pair(paf.view(), {5, 5, 1}, {25, 5, 1}), 0.25f);
    EXPECT_EQ(score_pair(uniform(0.7f, 0, 10, 60).view(), {5, 5, 1}, {25, 5, 1}), 0);
}

TEST(Limbs, NeedMoreThanTheShareOfSamples) {
    // From (0, 0) to (9, 0) the ten samples are the cells 0 to 9.
    struct Case {
        double share;
        int enough;
    };
    for (const auto& [share, enough] :
         {Case{0.0, 1}, Case{0.55, 6}, Case{0.6, 7}, Case{0.8, 9}, Case{0.99, 10}}) {
        DecodeOptions options;
        options.min_paf_share = share;
        for (int count = 1; count <= kSamples; ++count) {
            Canvas paf(2, 20, 10);
            // From the middle outwards: without the middle no pair holds.
            const int order[] = {5, 4, 3, 6, 2, 7, 1, 8, 0, 9};
            for (int i = 0; i < count; ++i) paf.at(0, 0, order[i]) = 1;
            EXPECT_EQ(score_pair(paf.view(), {0, 0, 1}, {9, 0, 1}, options) > 0, count >= enough)
                << count << " samples, share " << share;
        }
    }
}

TEST(Limbs, NeedTheFieldInTheMiddle) {
    Canvas paf(2, 20, 10);
    for (const int x : {0, 1, 2, 3, 6, 7, 8, 9}) paf.at(0, 0, x) = 1;
    EXPECT_EQ(score_pair(paf.view(), {0, 0, 1}, {9, 0, 1}), 0);
    paf.at(0, 0, 5) = 1;
    EXPECT_GT(score_pair(paf.view(), {0, 0, 1}, {9, 0, 1}), 0.7f);
}

TEST(Limbs, ScoreLessTheMoreOfTheFieldIsMissing) {
    float before = 1.001f;
    for (int missing = 0; missing < 4; ++missing) {
        Canvas paf = uniform(1, 0, 20, 10);
        for (int x = 0; x < missing; ++x) paf.at(0, 0, x) = 0;
        const float found = score_pair(paf.view(), {0, 0, 1}, {9, 0, 1});
        EXPECT_TRUE(found > 0.5f && found < before) << missing << ": " << found;
        before = found;
    }
}

TEST(Limbs, NeedSamplesAboveTheThreshold) {
    const auto threshold = static_cast<float>(DecodeOptions{}.paf_threshold);
    EXPECT_EQ(score_pair(uniform(threshold, 0).view(), {3, 3, 1}, {11, 3, 1}), 0);
    const float above = 1.001f * threshold;
    EXPECT_NEAR(score_pair(uniform(above, 0).view(), {3, 3, 1}, {11, 3, 1}), above, 1e-6);
}

TEST(Limbs, OfNoLengthAreNone) {
    const Canvas paf = uniform(1, 1);
    EXPECT_EQ(score_pair(paf.view(), {5, 5, 1}, {5, 5, 1}), 0);
    EXPECT_EQ(score_pair(paf.view(), {5, 5, 1}, {5.0001f, 5, 1}), 0);
    EXPECT_GT(score_pair(paf.view(), {5, 5, 1}, {5.1f, 5, 1}), 0.9f) << "short ones are";
}

TEST(Limbs, CountAFieldThatIsNotFiniteAsNone) {
    for (const float hostile : {kNan, kInfinity, -kInfinity}) {
        EXPECT_EQ(score_pair(uniform(hostile, hostile).view(), {5, 5, 1}, {15, 8, 1}), 0);
        Canvas paf = uniform(1, 0);
        paf.at(0, 5, 5) = hostile;
        const float found = score_pair(paf.view(), {5, 5, 1}, {14, 5, 1});
        EXPECT_TRUE(found > 0.8f && found < 1) << hostile << ": " << found;
    }
}

TEST(Limbs, CountAHugeFieldAsAUnitVectorAtMost) {
    EXPECT_FLOAT_EQ(score_pair(uniform(FLT_MAX, 0).view(), {5, 5, 1}, {15, 8, 1}), 1);
    EXPECT_FLOAT_EQ(score_pair(uniform(0, 12).view(), {5, 5, 1}, {8, 15, 1}), 1);
    // The sum of two huge components is not finite.
    const float found = score_pair(uniform(FLT_MAX, FLT_MAX).view(), {5, 5, 1}, {15, 8, 1});
    EXPECT_TRUE(found >= 0 && found <= 1 + 1e-6f) << found;
}

TEST(Limbs, CountPeaksWithinTheirPartsByAThenB) {
    // Part 0 has peaks that the limb does not join.
    const Peaks peaks = peaks_of({{{1, 1, 1}, {2, 2, 1}},
                                  {{20, 30, 1}, {10, 10, 1}, {10, 20, 1}},
                                  {{16, 10, 1}, {16, 20, 1}}});
    Canvas paf(6, 40, 40, kNan);
    for (int y = 0; y < 40; ++y) {
        for (int x = 0; x < 40; ++x) {
            paf.at(4, y, x) = 1;
            paf.at(5, y, x) = 0;
        }
    }
    const auto connections = score(paf.view(), peaks, {}, {1, 2, 4, 5});
    ASSERT_EQ(connections.size(), 4U) << "peaks left of part 2, each with each";
    for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(connections[i].a, 1 + i / 2);
        EXPECT_EQ(connections[i].b, i % 2);
    }
    EXPECT_FLOAT_EQ(connections[0].score, 1);
}

TEST(Limbs, WithoutPeaksAreNone) {
    const Canvas paf = uniform(1, 0);
    EXPECT_TRUE(score(paf.view(), peaks_of({{}, {{5, 5, 1}}})).empty());
    EXPECT_TRUE(score(paf.view(), peaks_of({{{5, 5, 1}}, {}})).empty());
}

// Refined peaks lie up to half a cell outside; the sanitizers see to what is read there.
TEST(Limbs, ReachTheCornersOfTheMap) {
    constexpr float kLow = -0.5f;
    const Canvas paf = uniform(0.7f, 0.7f, 30, 20);
    EXPECT_NEAR(score_pair(paf.view(), {kLow, kLow, 1}, {10, 10, 1}), 0.99f, 0.01);
    EXPECT_NEAR(score_pair(paf.view(), {10, 20, 1}, {19.5f, 29.5f, 1}), 0.99f, 0.01);
    EXPECT_GT(score_pair(uniform(1, 0, 30, 20).view(), {kLow, 29.5f, 1}, {9, 29.5f, 1}), 0.99f);
    EXPECT_GT(score_pair(uniform(0, 1, 30, 20).view(), {19.5f, kLow, 1}, {19.5f, 9, 1}), 0.99f);
    EXPECT_GT(score_pair(uniform(1, 0, 1, 1).view(), {kLow, 0, 1}, {0.5f, 0, 1}), 0.4f);
}

TEST(Limbs, AreTheSameThroughNegativeStrides) {
    constexpr int kHeight = 20;
    constexpr int kWidth = 24;
    Canvas paf(2, kHeight, kWidth);
    paf.field(kLimb, {4, 3, 1}, {15, 12, 1});
    std::vector<float> turned(2 * kHeight * kWidth);
    for (int channel = 0; channel < 2; ++channel) {
        for (int y = 0; y < kHeight; ++y) {
            for (int x = 0; x < kWidth; ++x) {
                turned[(channel * kHeight + kHeight - 1 - y) * kWidth + x] = paf.at(channel, y, x);
            }
        }
    }
    const MapView view(turned, 2, kHeight, kWidth,
                       Strides{kHeight * kWidth, -kWidth, 1, (kHeight - 1) * kWidth});
    const float expected = score_pair(paf.view(), {4, 3, 1}, {15, 12, 1});
    EXPECT_GT(expected, 0.5f);
    EXPECT_EQ(score_pair(view, {4, 3, 1}, {15, 12, 1}), expected);
}

TEST(Limbs, IntegralHasTheMeanAndTheShareAboveTheThreshold) {
    Workspace workspace;
    Canvas paf(2, 20, 10);
    for (int x = 0; x < 6; ++x) paf.at(0, 0, x) = 0.5f;
    const Integral ahead = integrate(paf.view(), kLimb, {0, 0, 1}, {9, 0, 1}, 0.1f, workspace);
    EXPECT_FLOAT_EQ(ahead.mean, 0.3f);
    EXPECT_FLOAT_EQ(ahead.share, 0.6f);
    const Integral back = integrate(paf.view(), kLimb, {9, 0, 1}, {0, 0, 1}, 0.1f, workspace);
    EXPECT_FLOAT_EQ(back.mean, -0.3f);
    EXPECT_EQ(back.share, 0);
    const Integral nowhere = integrate(paf.view(), kLimb, {3, 0, 1}, {3, 0, 1}, 0.1f, workspace);
    EXPECT_EQ(nowhere.mean, 0);
    EXPECT_EQ(nowhere.share, 0);
}

}  // namespace
}  // namespace openpose_ext
