// The seed's rules, quirks included. The whole is compared with an independent oracle in
// tests/test_reference.py; here each rule stands alone.
#include "openpose_ext/reference.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "skeletons.hpp"

namespace openpose_ext::reference {
namespace {

using openpose_ext::testing::Canvas;
using openpose_ext::testing::chain;
using openpose_ext::testing::Picture;

// Answer of a gaussian of sigma 3 and 25 taps to a lit pixel, there: the middle weight squared.
constexpr double kImpulse = 0.0176849;

Candidates find(const Canvas& heat, DecodeOptions options = DecodeOptions::reference(),
                int parts = 1) {
    Candidates candidates;
    find_peaks(heat.view().as<float>(), parts, options, candidates);
    return candidates;
}

TEST(ReferencePeaks, AnImpulseAnswersWithTheMiddleWeightSquared) {
    Canvas heat(1, 41, 51);
    heat.at(0, 20, 25) = 1;
    DecodeOptions options = DecodeOptions::reference();
    options.peak_threshold = kImpulse - 1e-7;
    const Candidates found = find(heat, options);
    ASSERT_EQ(found.all.size(), 1U);
    EXPECT_EQ(found.all[0].x, 25);
    EXPECT_EQ(found.all[0].y, 20);
    options.peak_threshold = kImpulse + 1e-7;
    EXPECT_EQ(find(heat, options).all.size(), 0U);
}

TEST(ReferencePeaks, TheEdgeIsContinuedByReflection) {
    // In the corner the reflected impulse stands beside itself, twice in each axis.
    Canvas heat(1, 41, 51);
    heat.at(0, 0, 0) = 1;
    DecodeOptions options = DecodeOptions::reference();
    const double beside = std::exp(-1.0 / 18);
    const double corner = kImpulse * (1 + beside) * (1 + beside);
    options.peak_threshold = corner - 1e-6;
    ASSERT_EQ(find(heat, options).all.size(), 1U);
    options.peak_threshold = corner + 1e-6;
    EXPECT_EQ(find(heat, options).all.size(), 0U);
}

TEST(ReferencePeaks, MapsNarrowerThanTheFilterAreReflectedManyTimes) {
    // However often a flat map is reflected, its mean stays.
    DecodeOptions options = DecodeOptions::reference();
    options.peak_threshold = 0.4999;
    EXPECT_GE(find(Canvas(1, 1, 1, 0.5f), options).all.size(), 1U);
    EXPECT_GE(find(Canvas(1, 3, 2, 0.5f), options).all.size(), 1U);
    options.peak_threshold = 0.5001;
    EXPECT_EQ(find(Canvas(1, 3, 2, 0.5f), options).all.size(), 0U);
}

TEST(ReferencePeaks, HaveTheUnsmoothedHeat) {
    Canvas heat(1, 41, 51);
    heat.blob(0, 25, 20, 0.7f, 7);
    const Candidates found = find(heat);
    ASSERT_EQ(found.all.size(), 1U);
    EXPECT_FLOAT_EQ(static_cast<float>(found.all[0].score), 0.7f);
}

TEST(ReferencePeaks, EqualNeighboursAreAllPeaks) {
    // A ridge along x: all its pixels answer alike, but for the rounding of the sums.
    Canvas heat(1, 31, 40);
    for (int x = 0; x < 40; ++x) heat.at(0, 15, x) = 1;
    EXPECT_GT(find(heat).all.size(), 5U);
    // A lit pair, symmetric about the line between its pixels: two peaks, side by side.
    Canvas pair(1, 31, 40);
    for (int y = 13; y < 18; ++y) {
        for (int x = 17; x < 23; ++x) pair.at(0, y, x) = 1;
    }
    const Candidates both = find(pair);
    ASSERT_EQ(both.all.size(), 2U);
    EXPECT_EQ(both.all[0].x, 19);
    EXPECT_EQ(both.all[1].x, 20);
    EXPECT_EQ(both.all[0].y, both.all[1].y);
}

TEST(ReferencePeaks, OfAllPartsAreNumberedThroughInRasterOrder) {
    Canvas heat(2, 60, 80);
    heat.blob(0, 60, 10, 1, 6);
    heat.blob(0, 20, 40, 1, 6);
    heat.blob(1, 40, 30, 1, 6);
    const Candidates found = find(heat, DecodeOptions::reference(), 2);
    EXPECT_EQ(found.begin, (std::vector<int>{0, 2, 3}));
    EXPECT_EQ(found.all[0].x, 60);
    EXPECT_EQ(found.all[1].x, 20);
    EXPECT_EQ(found.all[2].x, 40);
}

TEST(ReferencePeaks, BeyondTheCapTheWeakestGo) {
    Canvas heat(1, 40, 160);
    for (int i = 0; i < 4; ++i) {
        heat.blob(0, 20 + 40 * static_cast<float>(i), 20, 0.4f + 0.1f * static_cast<float>(i), 6);
    }
    DecodeOptions options = DecodeOptions::reference();
    options.max_peaks = 2;
    const Candidates found = find(heat, options);
    ASSERT_EQ(found.all.size(), 2U);
    EXPECT_EQ(found.all[0].x, 100);
    EXPECT_EQ(found.all[1].x, 140);
}

TEST(ReferencePeaks, ValuesThatAreNotFiniteCountAsZero) {
    Canvas clean(1, 40, 40);
    clean.blob(0, 20, 20, 1, 6);
    Canvas spoilt = clean;
    clean.at(0, 22, 20) = 0;
    spoilt.at(0, 22, 20) = std::numeric_limits<float>::quiet_NaN();
    clean.at(0, 12, 25) = 0;
    spoilt.at(0, 12, 25) = std::numeric_limits<float>::infinity();
    const Candidates expected = find(clean);
    const Candidates found = find(spoilt);
    ASSERT_EQ(found.all.size(), expected.all.size());
    for (std::size_t i = 0; i < found.all.size(); ++i) {
        EXPECT_EQ(found.all[i].x, expected.all[i].x);
        EXPECT_EQ(found.all[i].y, expected.all[i].y);
    }
}

// Limbs

Candidates candidates_at(const std::vector<std::vector<Candidate>>& parts) {
    Candidates candidates;
    candidates.begin.assign(1, 0);
    for (const auto& part : parts) {
        candidates.all.insert(candidates.all.end(), part.begin(), part.end());
        candidates.begin.push_back(static_cast<int>(candidates.all.size()));
    }
    return candidates;
}

std::vector<Link> link(const Canvas& paf, const Candidates& candidates) {
    std::vector<std::vector<Link>> links;
    connect(paf.view().as<float>(), chain(2), candidates, DecodeOptions::reference(), links);
    EXPECT_EQ(links.size(), 1U);
    return links[0];
}

TEST(ReferenceLimbs, NeedNineOfTenSamples) {
    for (int count = 7; count <= 10; ++count) {
        Canvas paf(2, 40, 40);
        for (int x = 0; x < count; ++x) paf.at(0, 5, 5 + x) = 0.5f;
        const auto links = link(paf, candidates_at({{{5, 5, 1}}, {{14, 5, 1}}}));
        ASSERT_EQ(links.size(), count >= 9 ? 1U : 0U) << count;
        if (count >= 9) {
            // The mean is over all ten, the failed one too.
            EXPECT_NEAR(links[0].score, 0.05 * count, 1e-12);
        }
    }
}

TEST(ReferenceLimbs, AreSampledAtTheNearestPixels) {
    // From (0, 0) to (18, 4): steps of two columns and 4 / 9 of a row; then the same by columns.
    const int rows[] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4};
    Canvas flat(2, 40, 40);
    Canvas steep(2, 40, 40);
    for (int t = 0; t < 10; ++t) flat.at(0, rows[t], 2 * t) = steep.at(1, 2 * t, rows[t]) = 1;
    const auto across = link(flat, candidates_at({{{0, 0, 1}}, {{18, 4, 1}}}));
    const auto down = link(steep, candidates_at({{{0, 0, 1}}, {{4, 18, 1}}}));
    ASSERT_EQ(across.size(), 1U);
    ASSERT_EQ(down.size(), 1U);
    EXPECT_NEAR(across[0].score, 18 / std::hypot(18.0, 4.0), 1e-12);
    EXPECT_NEAR(down[0].score, 18 / std::hypot(18.0, 4.0), 1e-12);
}

TEST(ReferenceLimbs, LongerThanHalfThePictureLoseByThePrior) {
    Canvas paf(2, 20, 60);
    for (int x = 0; x < 60; ++x) paf.at(0, 5, x) = 1;
    const auto links = link(paf, candidates_at({{{5, 5, 1}}, {{25, 5, 1}, {45, 5, 1}}}));
    ASSERT_EQ(links.size(), 1U);
    EXPECT_EQ(links[0].id_b, 1);
    EXPECT_NEAR(links[0].score, 0.5, 1e-12);
    const auto longer = link(paf, candidates_at({{{5, 5, 1}}, {{45, 5, 1}}}));
    ASSERT_EQ(longer.size(), 1U);
    EXPECT_NEAR(longer[0].score, 0.25, 1e-12);
}

TEST(ReferenceLimbs, OfCoincidentPeaksAreRefused) {
    EXPECT_TRUE(link(Canvas(2, 20, 20, 1), candidates_at({{{5, 5, 1}}, {{5, 5, 1}}})).empty());
}

TEST(ReferenceLimbs, OfEqualScoresTheFirstPairIsTaken) {
    Canvas paf(2, 40, 40);
    for (int y = 0; y < 40; ++y) {
        for (int x = 0; x < 40; ++x) paf.at(0, y, x) = 1;
    }
    // Two equal rows of limbs; the pairs across them score less.
    const auto links =
        link(paf, candidates_at({{{5, 5, 1}, {5, 15, 1}}, {{15, 5, 1}, {15, 15, 1}}}));
    ASSERT_EQ(links.size(), 2U);
    EXPECT_EQ(links[0].score, links[1].score);
    EXPECT_EQ(std::pair(links[0].id_a, links[0].id_b), std::pair(0, 2));
    EXPECT_EQ(std::pair(links[1].id_a, links[1].id_b), std::pair(1, 3));
    EXPECT_EQ(links[1].a, 1);
    EXPECT_EQ(links[1].b, 1);
}

// People. Limb 18 is LShoulder (5) to LEar (17), limb 17 RShoulder (2) to REar (16): only they
// meet parts that were set before, and there the quirks are.

constexpr int kParts = openpose_ext::testing::kParts;
constexpr int kScore = kParts;
constexpr int kCount = kParts + 1;

// Rows of (ids or -1, score, count) from candidates of score 0.5 and chosen links by limb.
class Crowd {
public:
    // `counts` candidates of each part that has any.
    explicit Crowd(const std::vector<std::pair<int, int>>& counts, double score = 0.5)
        : links_(19) {
        std::vector<std::vector<Candidate>> parts(kParts);
        for (const auto& [part, count] : counts) parts[part].assign(count, {0, 0, score});
        candidates_ = candidates_at(parts);
    }

    Crowd& join(int limb, int a, int b, double score) {
        const Limb& ends = topology_.limbs[limb];
        links_[limb].push_back({id(ends.a, a), id(ends.b, b), score, a, b});
        return *this;
    }

    [[nodiscard]] int id(int part, int index) const { return candidates_.begin[part] + index; }

    [[nodiscard]] std::vector<std::vector<double>> rows(int min_parts = 2) const {
        DecodeOptions options = DecodeOptions::reference();
        options.min_parts = min_parts;
        std::vector<double> subset;
        assemble(topology_, candidates_, links_, options, subset);
        std::vector<std::vector<double>> result;
        for (auto at = subset.begin(); at != subset.end(); at += kParts + 2) {
            result.emplace_back(at, at + kParts + 2);
        }
        return result;
    }

private:
    Topology topology_ = coco_18();
    Candidates candidates_;
    std::vector<std::vector<Link>> links_;
};

TEST(ReferencePeople, GrowLimbByLimb) {
    // Neck - RShoulder - RElbow - RWrist.
    Crowd crowd({{1, 1}, {2, 1}, {3, 1}, {4, 1}});
    const auto rows = crowd.join(0, 0, 0, .9).join(2, 0, 0, .8).join(3, 0, 0, .7).rows();
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0][4], crowd.id(4, 0));
    EXPECT_EQ(rows[0][kCount], 4);
    EXPECT_NEAR(rows[0][kScore], 4 * .5 + .9 + .8 + .7, 1e-12);
}

TEST(ReferencePeople, NeedFourPartsAndTheMeanScore) {
    Crowd three({{1, 1}, {2, 1}, {3, 1}});
    three.join(0, 0, 0, .9).join(2, 0, 0, .8);
    EXPECT_EQ(three.rows(3).size(), 1U);
    EXPECT_EQ(three.rows(4).size(), 0U);
    // (4 * 0.25 + 3 * s) / 4 must reach 0.4.
    for (const double score : {.19, .21}) {
        Crowd weak({{1, 1}, {2, 1}, {3, 1}, {4, 1}}, 0.25);
        weak.join(0, 0, 0, score).join(2, 0, 0, score).join(3, 0, 0, score);
        EXPECT_EQ(weak.rows(4).size(), score > 0.2 ? 1U : 0U) << score;
    }
}

TEST(ReferencePeople, PiecesAreJoinedByAnEar) {
    // An arm (RShoulder - RElbow) and a face (REye - REar) without a neck between them.
    Crowd crowd({{2, 1}, {3, 1}, {14, 1}, {16, 1}});
    const auto rows = crowd.join(2, 0, 0, .8).join(14, 0, 0, .7).join(17, 0, 0, .6).rows();
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0][kCount], 4);
    EXPECT_EQ(rows[0][14], crowd.id(14, 0));
    EXPECT_NEAR(rows[0][kScore], 4 * .5 + .8 + .7 + .6, 1e-12);
}

TEST(ReferencePeople, AnEarLimbNeverStartsOne) {
    EXPECT_TRUE(Crowd({{2, 1}, {16, 1}}).join(17, 0, 0, .9).rows().empty());
}

TEST(ReferencePeople, AnEarIsOverwrittenAndItsScoreStays) {
    // Quirk 1: the row has the shoulder and another ear.
    Crowd crowd({{1, 1}, {2, 1}, {0, 1}, {14, 1}, {16, 2}});
    const auto rows = crowd.join(0, 0, 0, .9)
                          .join(12, 0, 0, .9)
                          .join(13, 0, 0, .9)
                          .join(14, 0, 0, .9)
                          .join(17, 0, 1, .6)
                          .rows();
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0][16], crowd.id(16, 1));
    EXPECT_EQ(rows[0][kCount], 6) << "five parts";
    EXPECT_NEAR(rows[0][kScore], 6 * .5 + 4 * .9 + .6, 1e-12);
}

TEST(ReferencePeople, AShoulderIsNotAttachedThroughItsEar) {
    // Quirk 2: only the ear matches.
    Crowd crowd({{0, 1}, {14, 1}, {16, 1}, {2, 1}});
    const auto rows = crowd.join(13, 0, 0, .9).join(14, 0, 0, .9).join(17, 0, 0, .9).rows();
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0][2], -1);
    EXPECT_EQ(rows[0][kCount], 3);
    EXPECT_NEAR(rows[0][kScore], 3 * .5 + 2 * .9, 1e-12);
}

TEST(ReferencePeople, AClashLeavesOneEarInTwoPeople) {
    // Quirk 3: the first row has the shoulder, the second the ear; both have a nose.
    Crowd crowd({{1, 1}, {2, 1}, {0, 2}, {14, 1}, {16, 1}});
    const auto rows = crowd.join(0, 0, 0, .9)
                          .join(12, 0, 0, .9)
                          .join(13, 1, 0, .9)
                          .join(14, 0, 0, .9)
                          .join(17, 0, 0, .5)
                          .rows();
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0][16], crowd.id(16, 0));
    EXPECT_EQ(rows[1][16], crowd.id(16, 0));
    EXPECT_EQ(rows[0][kCount], 4);
    EXPECT_NEAR(rows[0][kScore], 4 * .5 + 2 * .9 + .5, 1e-12);
}

TEST(ReferencePeople, AClashCountsAnEarTwice) {
    // Quirk 4: the first row has the ear already, the second the shoulder; both have a nose.
    // Rows are made in the order of limbs: neck - nose - eye - ear, then nothing is left that could
    // start the other with a shoulder, so it starts from the other neck by limb 0 second.
    Crowd crowd({{1, 2}, {2, 2}, {0, 2}, {14, 1}, {16, 1}});
    const auto rows = crowd.join(0, 0, 0, .9)
                          .join(0, 1, 1, .8)
                          .join(12, 0, 0, .9)
                          .join(12, 1, 1, .9)
                          .join(13, 0, 0, .9)
                          .join(14, 0, 0, .9)
                          .join(17, 1, 0, .5)
                          .rows();
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0][16], crowd.id(16, 0));
    EXPECT_EQ(rows[0][2], crowd.id(2, 0));
    EXPECT_EQ(rows[0][kCount], 6) << "five parts";
    EXPECT_NEAR(rows[0][kScore], 6 * .5 + 4 * .9 + .5, 1e-12);
    EXPECT_EQ(rows[1][16], -1) << "the second is untouched";
    EXPECT_EQ(rows[1][kCount], 3);
}

TEST(ReferencePeople, AnEarLimbThatOnlyConfirmsAddsNothing) {
    // Quirk 6.
    Crowd crowd({{1, 1}, {2, 1}, {0, 1}, {14, 1}, {16, 1}});
    crowd.join(0, 0, 0, .9).join(12, 0, 0, .9).join(13, 0, 0, .9).join(14, 0, 0, .9);
    const auto before = crowd.rows();
    EXPECT_EQ(crowd.join(17, 0, 0, .9).rows(), before);
}

// All three stages

TEST(Reference, FindsAPersonOnPictureSizedMaps) {
    Picture picture(184, 160);
    for (int k = 0; k < kParts; ++k) {
        const Peak at = Picture::part(k, 80, 40, 110);
        picture.heat.blob(k, at.x, at.y, 1, 7);
    }
    for (const Limb& limb : picture.topology.limbs) {
        picture.paf.field(limb, Picture::part(limb.a, 80, 40, 110),
                          Picture::part(limb.b, 80, 40, 110), 1, 8);
    }
    const Result result = decode(picture.heat.view().as<float>(), picture.paf.view().as<float>(),
                                 picture.topology, DecodeOptions::reference());
    ASSERT_EQ(result.subset.size(), static_cast<std::size_t>(kParts + 2));
    EXPECT_EQ(result.subset[kCount], kParts);
    for (int k = 0; k < kParts; ++k) {
        const Candidate& found = result.candidates.all[static_cast<std::size_t>(result.subset[k])];
        const Peak drawn = Picture::part(k, 80, 40, 110);
        EXPECT_NEAR(found.x, drawn.x, 1) << k;
        EXPECT_NEAR(found.y, drawn.y, 1) << k;
    }
}

TEST(Reference, SurvivesHostileMaps) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::max(), 1.0f, 0.0f}) {
        const Canvas heat(3, 9, 14, value);
        const Canvas paf(4, 9, 14, value);
        const Result result = decode(heat.view().as<float>(), paf.view().as<float>(), chain(3),
                                     DecodeOptions::reference());
        for (const double cell : result.subset) EXPECT_TRUE(std::isfinite(cell)) << value;
        for (const Candidate& candidate : result.candidates.all) {
            EXPECT_TRUE(std::isfinite(candidate.score)) << value;
        }
    }
}

TEST(Reference, RefusesMapsThatDoNotFit) {
    const Canvas heat(3, 9, 14);
    EXPECT_THROW(decode(heat.view().as<float>(), Canvas(3, 9, 14).view().as<float>(), chain(3),
                        DecodeOptions{}),
                 std::invalid_argument);
    EXPECT_THROW(decode(heat.view().as<float>(), Canvas(4, 9, 15).view().as<float>(), chain(3),
                        DecodeOptions{}),
                 std::invalid_argument);
}

}  // namespace
}  // namespace openpose_ext::reference
