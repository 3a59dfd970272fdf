#include "openpose_ext/decode.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "skeletons.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;
using testing::chain;
using testing::kParts;
using testing::Picture;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Cells are pixels.
Placement identity(const MapView& heat) { return {1, 0, 1, 0, heat.width(), heat.height()}; }

People decode(const Canvas& heat, const Canvas& paf, const Topology& topology,
              const DecodeOptions& options = {}) {
    Decoder decoder;
    return decoder.decode(heat.view(), paf.view(), topology, identity(heat.view()), options);
}

People decode(const Picture& picture, const DecodeOptions& options = {}) {
    return decode(picture.heat, picture.paf, picture.topology, options);
}

const float* keypoint(const People& people, int person, int part) {
    return &people.keypoints[(static_cast<std::size_t>(person) * people.parts + part) * 3];
}

// What holds for every result.
void expect_sound(const People& people, int parts, const Placement& placement) {
    ASSERT_EQ(people.parts, parts);
    const auto cells = static_cast<std::size_t>(people.count) * parts;
    ASSERT_EQ(people.keypoints.size(), 3 * cells);
    ASSERT_EQ(people.filled.size(), cells);
    ASSERT_EQ(people.scores.size(), static_cast<std::size_t>(people.count));
    for (int person = 0; person < people.count; ++person) {
        EXPECT_TRUE(std::isfinite(people.scores[person]));
        EXPECT_TRUE(person == 0 || people.scores[person - 1] >= people.scores[person]);
        for (int part = 0; part < parts; ++part) {
            const float* point = keypoint(people, person, part);
            EXPECT_TRUE(point[0] >= 0 && point[0] <= static_cast<float>(placement.width - 1));
            EXPECT_TRUE(point[1] >= 0 && point[1] <= static_cast<float>(placement.height - 1));
            if (people.filled[person * parts + part] != 0) {
                EXPECT_TRUE(point[2] > 0 && point[2] <= kFilledScore) << point[2];
            } else if (point[2] == 0) {
                EXPECT_TRUE(point[0] == 0 && point[1] == 0);
            } else {
                EXPECT_TRUE(point[2] > kFilledScore && point[2] <= 1) << point[2];
            }
        }
    }
}

void expect_equal(const People& one, const People& other) {
    EXPECT_EQ(one.count, other.count);
    EXPECT_EQ(one.parts, other.parts);
    EXPECT_EQ(one.keypoints, other.keypoints);
    EXPECT_EQ(one.scores, other.scores);
    EXPECT_EQ(one.filled, other.filled);
}

std::string complaint_of(const Canvas& heat, const Canvas& paf, const Topology& topology,
                         const DecodeOptions& options = {}) {
    try {
        decode(heat, paf, topology, options);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

TEST(Decode, FindsNobodyInEmptyMaps) {
    const People people = decode(Picture(20, 30));
    expect_sound(people, kParts, {1, 0, 1, 0, 30, 20});
    EXPECT_EQ(people.count, 0);
}

TEST(Decode, FindsOnePersonWhole) {
    for (const Assignment assignment : {Assignment::greedy, Assignment::hungarian}) {
        Picture picture(46, 40);
        picture.draw(19.3f, 9.6f, 28);
        DecodeOptions options;
        options.assignment = assignment;
        const People people = decode(picture, options);
        expect_sound(people, kParts, {1, 0, 1, 0, 40, 46});
        ASSERT_EQ(people.count, 1);
        EXPECT_GT(people.scores[0], 0.5f);
        EXPECT_LE(people.scores[0], 1);
        for (int part = 0; part < kParts; ++part) {
            const Peak drawn = Picture::part(part, 19.3f, 9.6f, 28);
            const float* point = keypoint(people, 0, part);
            EXPECT_NEAR(point[0], drawn.x, 0.01) << part;
            EXPECT_NEAR(point[1], drawn.y, 0.01) << part;
            EXPECT_GT(point[2], 0.5f) << part;
        }
    }
}

TEST(Decode, FindsManyAndPutsTheBestFirst) {
    Picture picture(46, 100);
    const float necks[] = {12, 34, 56, 78};
    const float sizes[] = {14, 30, 18, 24};
    for (int i = 0; i < 4; ++i) picture.draw(necks[i], 10, sizes[i]);
    const People people = decode(picture);
    expect_sound(people, kParts, {1, 0, 1, 0, 100, 46});
    ASSERT_EQ(people.count, 4);
    const int by_size[] = {1, 3, 2, 0};
    for (int i = 0; i < 4; ++i) {
        EXPECT_NEAR(keypoint(people, i, 1)[0], necks[by_size[i]], 0.05) << "equal but in size";
    }
}

TEST(Decode, RanksSmallPeopleBelowTheirEvidence) {
    // Twice the heat, but a third of the size.
    Picture picture(46, 60);
    picture.draw(42, 9, 32);
    for (float& cell : picture.heat.cells()) cell *= 0.7f;
    picture.draw(15, 9, 10);
    Decoder decoder;
    const People& people = decoder.decode(picture.heat.view(), picture.paf.view(), picture.topology,
                                          identity(picture.heat.view()), {});
    ASSERT_EQ(people.count, 2);
    EXPECT_NEAR(keypoint(people, 0, 1)[0], 42, 0.1);
    EXPECT_NEAR(keypoint(people, 1, 1)[0], 15, 0.1);
    // What each would score without regard to size.
    double evidence[2] = {0, 0};
    for (int part = 0; part < kParts; ++part) {
        const Peak* peaks = decoder.peaks().of(part);
        ASSERT_EQ(decoder.peaks().count(part), 2);
        for (int i = 0; i < 2; ++i) evidence[peaks[i].x < 30 ? 1 : 0] += peaks[i].score;
    }
    for (std::size_t l = 0; l < picture.topology.limbs.size(); ++l) {
        const Peak* from = decoder.peaks().of(picture.topology.limbs[l].a);
        for (const Connection& pair : decoder.connections()[l]) {
            evidence[from[pair.a].x < 30 ? 1 : 0] += pair.score;
        }
    }
    EXPECT_GT(evidence[1], evidence[0]);
}

TEST(Decode, ScoresSeenPartsAboveFilledOnesWhateverTheThreshold) {
    Picture picture(46, 40);
    picture.draw(19, 9, 28);
    for (float& cell : picture.heat.cells()) cell *= 0.04f;
    DecodeOptions options;
    options.peak_threshold = 0.02;
    options.fill = false;
    const People people = decode(picture, options);
    expect_sound(people, kParts, {1, 0, 1, 0, 40, 46});
    ASSERT_EQ(people.count, 1);
    for (int part = 0; part < kParts; ++part) EXPECT_GT(keypoint(people, 0, part)[2], kFilledScore);
}

TEST(Decode, KeepsTheBestPeopleUnderTheCap) {
    Picture picture(46, 100);
    for (const float x : {12.0f, 34.0f, 56.0f}) picture.draw(x, 10, 0.4f * x);
    DecodeOptions options;
    const People all = decode(picture, options);
    ASSERT_EQ(all.count, 3);
    for (const int most : {1, 2}) {
        options.max_people = most;
        const People best = decode(picture, options);
        ASSERT_EQ(best.count, most);
        EXPECT_TRUE(std::equal(best.scores.begin(), best.scores.end(), all.scores.begin()));
        EXPECT_TRUE(
            std::equal(best.keypoints.begin(), best.keypoints.end(), all.keypoints.begin()));
    }
}

TEST(Decode, FindsThePartsOfAPersonCutByTheEdge) {
    // The left half is outside.
    Picture picture(46, 40);
    picture.draw(0.3f, 9, 30);
    const People people = decode(picture);
    expect_sound(people, kParts, {1, 0, 1, 0, 40, 46});
    ASSERT_EQ(people.count, 1);
    for (const int part : {5, 6, 7, 11, 12, 13}) EXPECT_GT(keypoint(people, 0, part)[2], 0.5f);
    for (const int part : {2, 3, 4, 8, 9, 10}) EXPECT_LE(keypoint(people, 0, part)[2], 0.05f);
}

TEST(Decode, PlacesPointsInThePictureAndClipsThem) {
    Picture picture(30, 40);
    picture.draw(20, 6, 20);
    Decoder decoder;
    const Placement wide{7.5, 2.25, 4.5, -1.5, 1000, 1000};
    const People& people =
        decoder.decode(picture.heat.view(), picture.paf.view(), picture.topology, wide, {});
    ASSERT_EQ(people.count, 1);
    for (int part = 0; part < kParts; ++part) {
        const Peak drawn = Picture::part(part, 20, 6, 20);
        EXPECT_NEAR(keypoint(people, 0, part)[0], 7.5f * drawn.x + 2.25f, 0.1);
        EXPECT_NEAR(keypoint(people, 0, part)[1], 4.5f * drawn.y - 1.5f, 0.1);
    }
    const Placement tight{7.5, -200, 4.5, 0, 20, 30};
    const People& clipped =
        decoder.decode(picture.heat.view(), picture.paf.view(), picture.topology, tight, {});
    ASSERT_EQ(clipped.count, 1);
    expect_sound(clipped, kParts, tight);
    EXPECT_EQ(keypoint(clipped, 0, 13)[1], 29) << "the ankle is below the picture";
    EXPECT_GT(keypoint(clipped, 0, 13)[2], 0.5f) << "clipped parts stay";
}

TEST(Decode, FillsAWeakPartAndMarksIt) {
    Picture picture(46, 40);
    picture.draw(19, 9, 28);
    // The right wrist's heat falls below the threshold.
    for (int y = 0; y < 46; ++y) {
        for (int x = 0; x < 40; ++x) picture.heat.at(4, y, x) *= 0.07f;
    }
    DecodeOptions options;
    const People people = decode(picture, options);
    expect_sound(people, kParts, {1, 0, 1, 0, 40, 46});
    ASSERT_EQ(people.count, 1);
    EXPECT_EQ(std::count(people.filled.begin(), people.filled.end(), 1), 1);
    EXPECT_EQ(people.filled[4], 1);
    const Peak drawn = Picture::part(4, 19, 9, 28);
    EXPECT_NEAR(keypoint(people, 0, 4)[0], drawn.x, 0.01);
    EXPECT_NEAR(keypoint(people, 0, 4)[1], drawn.y, 0.01);

    options.fill = false;
    const People seen = decode(picture, options);
    ASSERT_EQ(seen.count, 1);
    EXPECT_EQ(std::count(seen.filled.begin(), seen.filled.end(), 1), 0);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(keypoint(seen, 0, 4)[i], 0);
    EXPECT_EQ(seen.scores, people.scores) << "filled parts are no evidence";
}

TEST(Decode, CountsValuesThatAreNotFiniteAsZero) {
    Picture clean(46, 40);
    clean.draw(19, 9, 28);
    Picture spoilt = clean;
    std::mt19937 random(8);
    for (Canvas Picture::* maps : {&Picture::heat, &Picture::paf}) {
        auto& zeros = (clean.*maps).cells();
        auto& hostile = (spoilt.*maps).cells();
        for (std::size_t i = 0; i < zeros.size(); ++i) {
            if (random() % 20 != 0) continue;
            zeros[i] = 0;
            hostile[i] = std::array{kNan, kInfinity, -kInfinity}[random() % 3];
        }
    }
    // In a field, x and y are lost together: the sample of both is what must be finite.
    for (const Limb& limb : clean.topology.limbs) {
        for (int y = 0; y < 46; ++y) {
            for (int x = 0; x < 40; ++x) {
                const float sum = spoilt.paf.at(limb.paf_x, y, x) + spoilt.paf.at(limb.paf_y, y, x);
                if (std::isfinite(sum)) continue;
                clean.paf.at(limb.paf_x, y, x) = clean.paf.at(limb.paf_y, y, x) = 0;
                spoilt.paf.at(limb.paf_x, y, x) = spoilt.paf.at(limb.paf_y, y, x) = kNan;
            }
        }
    }
    const People expected = decode(clean);
    EXPECT_GT(expected.count, 0);
    expect_equal(decode(spoilt), expected);
}

TEST(Decode, GivesSoundPeopleForHostileMaps) {
    const float values[] = {kNan, kInfinity, -kInfinity, FLT_MAX, -FLT_MAX, 1, 0, -1, FLT_MIN};
    constexpr int kHeight = 12;
    constexpr int kWidth = 19;
    std::mt19937 random(9);
    for (int trial = 0; trial < 300; ++trial) {
        // All cells of one value each, of one of two, or of any.
        Picture picture(kHeight, kWidth);
        const unsigned choice = trial % 3 == 0 ? 1 : trial % 3 == 1 ? 2 : 9;
        const std::size_t first = random() % std::size(values);
        for (Canvas* maps : {&picture.heat, &picture.paf}) {
            for (float& cell : maps->cells()) {
                cell = values[(first + random() % choice) % std::size(values)];
            }
        }
        for (const Assignment assignment : {Assignment::greedy, Assignment::hungarian}) {
            DecodeOptions options;
            options.assignment = assignment;
            options.min_parts = 1;
            options.min_score = 0;
            expect_sound(decode(picture, options), kParts, {1, 0, 1, 0, kWidth, kHeight});
        }
    }
}

TEST(Decode, GivesSoundPeopleForNoise) {
    std::mt19937 random(10);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (const auto& [height, width] :
         {std::array{46, 82}, std::array{1, 1}, std::array{1, 200}, std::array{200, 1}}) {
        Picture picture(height, width);
        for (Canvas* maps : {&picture.heat, &picture.paf}) {
            for (float& cell : maps->cells()) cell = uniform(random);
        }
        for (const Assignment assignment : {Assignment::greedy, Assignment::hungarian}) {
            DecodeOptions options;
            options.assignment = assignment;
            options.min_paf_share = 0.1;
            expect_sound(decode(picture, options), kParts, {1, 0, 1, 0, width, height});
        }
    }
}

TEST(Decode, WorksForOnePartWithoutLimbs) {
    Canvas heat(1, 10, 10);
    heat.blob(0, 5, 5);
    const People people = decode(heat, Canvas(0, 10, 10), chain(1));
    EXPECT_EQ(people.count, 0) << "nothing joins a part to anything";
    EXPECT_EQ(people.parts, 1);
}

TEST(Decode, WorksForAChainOfSeventyParts) {
    constexpr int kLong = 70;
    const Topology topology = chain(kLong);
    Canvas heat(kLong, 50, 50);
    Canvas paf(topology.paf_channels(), 50, 50);
    std::vector<Peak> parts;
    for (int k = 0; k < kLong; ++k) {
        const float turn = 0.25f * static_cast<float>(k);
        const float radius = 4 + 0.25f * static_cast<float>(k);
        parts.push_back({25 + radius * std::cos(turn), 25 + radius * std::sin(turn), 1});
        heat.blob(k, parts[k].x, parts[k].y);
    }
    for (int l = 0; l + 1 < kLong; ++l) paf.field(topology.limbs[l], parts[l], parts[l + 1]);
    const People people = decode(heat, paf, topology);
    expect_sound(people, kLong, {1, 0, 1, 0, 50, 50});
    ASSERT_EQ(people.count, 1);
    for (int k = 0; k < kLong; ++k) {
        EXPECT_NEAR(keypoint(people, 0, k)[0], parts[k].x, 0.05) << k;
        EXPECT_NEAR(keypoint(people, 0, k)[1], parts[k].y, 0.05) << k;
    }
}

TEST(Decode, ReusesItsScratchWithoutATrace) {
    std::vector<Picture> pictures;
    pictures.emplace_back(46, 100);
    for (const float x : {12.0f, 40.0f, 70.0f}) pictures.back().draw(x, 10, 28);
    pictures.emplace_back(20, 30);
    pictures.emplace_back(30, 24);
    pictures.back().draw(12, 6, 18);
    Decoder decoder;
    const DecodeOptions options;
    for (int round = 0; round < 2; ++round) {
        for (const Picture& picture : pictures) {
            expect_equal(decoder.decode(picture.heat.view(), picture.paf.view(), picture.topology,
                                        identity(picture.heat.view()), options),
                         decode(picture, options));
        }
        // Another skeleton, and maps that are refused, in between.
        const Topology other = chain(3);
        const Canvas heat(3, 9, 9, 0.5f);
        const Canvas paf(4, 9, 9, 0.5f);
        decoder.decode(heat.view(), paf.view(), other, identity(heat.view()), options);
        EXPECT_THROW(
            decoder.decode(heat.view(), heat.view(), other, identity(heat.view()), options),
            std::invalid_argument);
    }
}

TEST(Decode, ShowsWhatItsStagesSaw) {
    Picture picture(46, 40);
    picture.draw(19, 9, 28);
    Decoder decoder;
    decoder.decode(picture.heat.view(), picture.paf.view(), picture.topology,
                   identity(picture.heat.view()), {});
    for (int part = 0; part < kParts; ++part) EXPECT_EQ(decoder.peaks().count(part), 1);
    ASSERT_EQ(decoder.connections().size(), picture.topology.limbs.size());
    for (const auto& pairs : decoder.connections()) EXPECT_EQ(pairs.size(), 1U);
}

TEST(Decode, NeedsNoBackground) {
    Picture picture(46, 40);
    picture.draw(19, 9, 28);
    const std::span<const float> cells(picture.heat.cells());
    const MapView parts_only(cells.first(kParts * 46 * 40), kParts, 46, 40);
    Decoder decoder;
    expect_equal(
        decoder.decode(parts_only, picture.paf.view(), picture.topology, identity(parts_only), {}),
        decode(picture));
}

TEST(Decode, SaysWhatDoesNotFit) {
    const Topology topology = chain(3);
    const Canvas heat(3, 8, 9);
    const Canvas paf(4, 8, 9);
    EXPECT_EQ(complaint_of(heat, paf, topology), "");
    EXPECT_NE(complaint_of(Canvas(5, 8, 9), paf, topology).find("heat has 5 channels"),
              std::string::npos);
    EXPECT_NE(complaint_of(Canvas(2, 8, 9), paf, topology).find("heat has 2 channels"),
              std::string::npos);
    EXPECT_NE(complaint_of(heat, Canvas(3, 8, 9), topology).find("paf has 3 channels"),
              std::string::npos);
    EXPECT_NE(complaint_of(heat, Canvas(5, 8, 9), topology).find("paf has 5 channels"),
              std::string::npos);
    EXPECT_NE(complaint_of(heat, Canvas(4, 8, 10), topology).find("8 x 10"), std::string::npos);
    EXPECT_NE(complaint_of(Canvas(3, 0, 9), Canvas(4, 0, 9), topology), "");
    EXPECT_NE(complaint_of(Canvas(3, 8, 0), Canvas(4, 8, 0), topology), "");
    Topology wrong = topology;
    wrong.limbs[1].b = 3;
    EXPECT_NE(complaint_of(heat, paf, wrong).find("limb 1"), std::string::npos);
    DecodeOptions options;
    options.min_parts = 0;
    EXPECT_NE(complaint_of(heat, paf, topology, options).find("min_parts"), std::string::npos);
}

}  // namespace
}  // namespace openpose_ext
