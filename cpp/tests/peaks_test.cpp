#include "openpose_ext/peaks.hpp"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "canvas.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Peaks find(const MapView& heat, const DecodeOptions& options = {}, int parts = 1) {
    Workspace workspace;
    Peaks peaks;
    find_peaks(heat, parts, options, workspace, peaks);
    return peaks;
}

Peaks find(const Canvas& heat, const DecodeOptions& options = {}, int parts = 1) {
    return find(heat.view(), options, parts);
}

void expect_inside(const Peaks& peaks, int height, int width) {
    for (const Peak& peak : peaks.all) {
        EXPECT_TRUE(peak.x >= -0.5f && peak.x <= static_cast<float>(width) - 0.5f) << peak.x;
        EXPECT_TRUE(peak.y >= -0.5f && peak.y <= static_cast<float>(height) - 0.5f) << peak.y;
        EXPECT_TRUE(peak.score > 0 && peak.score <= 1) << peak.score;
    }
}

TEST(Peaks, EmptyMapsHaveNone) {
    const Peaks peaks = find(Canvas(3, 10, 20), {}, 3);
    EXPECT_TRUE(peaks.all.empty());
    EXPECT_EQ(peaks.begin, (std::vector<int>{0, 0, 0, 0}));
}

TEST(Peaks, AStrictMaximumIsOneWithItsHeat) {
    Canvas heat(1, 9, 9);
    heat.at(0, 4, 6) = 0.5f;
    const Peaks peaks = find(heat);
    ASSERT_EQ(peaks.count(0), 1);
    EXPECT_EQ(peaks.all[0].x, 6);
    EXPECT_EQ(peaks.all[0].y, 4);
    EXPECT_EQ(peaks.all[0].score, 0.5f);
}

TEST(Peaks, TheThresholdMustBeExceeded) {
    const auto threshold = static_cast<float>(DecodeOptions{}.peak_threshold);
    Canvas heat(1, 5, 5);
    heat.at(0, 2, 2) = threshold;
    EXPECT_EQ(find(heat).count(0), 0);
    heat.at(0, 2, 2) = std::nextafter(threshold, 1.0f);
    EXPECT_EQ(find(heat).count(0), 1);
}

TEST(Peaks, AStrongerSideNeighbourLeavesOne) {
    Canvas heat(1, 5, 5);
    heat.at(0, 2, 2) = 0.5f;
    heat.at(0, 2, 3) = 0.6f;
    heat.at(0, 3, 2) = 0.4f;
    const Peaks peaks = find(heat);
    ASSERT_EQ(peaks.count(0), 1);
    EXPECT_EQ(peaks.all[0].score, 0.6f);
}

TEST(Peaks, AStrongerDiagonalNeighbourLeavesOne) {
    for (const int dy : {-1, 1}) {
        for (const int dx : {-1, 1}) {
            Canvas heat(1, 5, 5);
            heat.at(0, 2, 2) = 0.5f;
            heat.at(0, 2 + dy, 2) = heat.at(0, 2, 2 + dx) = 0.49f;  // no dip between the two
            heat.at(0, 2 + dy, 2 + dx) = 0.6f;
            const Peaks peaks = find(heat);
            ASSERT_EQ(peaks.count(0), 1);
            EXPECT_EQ(peaks.all[0].score, 0.6f);
        }
    }
}

TEST(Peaks, OfTwoEqualNeighboursTheFirstIsTheOne) {
    for (const auto& [dy, dx] : {std::pair{0, 1}, {1, -1}, {1, 0}, {1, 1}}) {
        Canvas heat(1, 5, 5);
        heat.at(0, 2, 2) = heat.at(0, 2 + dy, 2 + dx) = 0.5f;
        const Peaks peaks = find(heat);
        ASSERT_EQ(peaks.count(0), 1) << dy << ", " << dx;
        EXPECT_NEAR(peaks.all[0].x, 2, 0.5) << dy << ", " << dx;
        EXPECT_NEAR(peaks.all[0].y, 2, 0.5) << dy << ", " << dx;
    }
}

TEST(Peaks, APlateauGivesOne) {
    Canvas heat(1, 8, 8);
    for (int y = 3; y < 5; ++y) {
        for (int x = 2; x < 5; ++x) heat.at(0, y, x) = 0.7f;
    }
    const Peaks peaks = find(heat);
    ASSERT_EQ(peaks.count(0), 1);
    EXPECT_NEAR(peaks.all[0].x, 2.5, 0.5);
    EXPECT_NEAR(peaks.all[0].y, 3.5, 0.5);
    EXPECT_EQ(find(Canvas(1, 30, 40, 1.0f)).count(0), 1) << "a map of ones";
}

TEST(Peaks, OfTwoFarPartsBothAreFoundInRasterOrder) {
    Canvas heat(1, 20, 40);
    heat.blob(0, 30, 4, 0.5f);
    heat.blob(0, 3, 15, 0.9f);
    heat.blob(0, 20, 4, 0.3f);
    const Peaks peaks = find(heat);
    ASSERT_EQ(peaks.count(0), 3);
    EXPECT_FLOAT_EQ(peaks.all[0].x, 20);
    EXPECT_FLOAT_EQ(peaks.all[1].x, 30);
    EXPECT_FLOAT_EQ(peaks.all[2].x, 3);
}

TEST(Peaks, PartsAreKeptApartAndMapsBehindThemIgnored) {
    Canvas heat(3, 10, 10);
    heat.blob(0, 2, 2);
    heat.blob(1, 5, 5);
    heat.blob(1, 8, 8);
    heat.blob(2, 4, 4);
    const Peaks peaks = find(heat, {}, 2);
    EXPECT_EQ(peaks.begin, (std::vector<int>{0, 1, 3}));
    EXPECT_FLOAT_EQ(peaks.of(1)[0].x, 5);
}

// Rows are read in blocks; no width and no column may fall between two of them.
TEST(Peaks, EveryCellOfEveryWidthCanBeOne) {
    for (const int height : {1, 2, 3}) {
        for (int width = 1; width < 52; ++width) {
            for (int x = 0; x < width; ++x) {
                Canvas heat(1, height, width);
                heat.at(0, height - 1, x) = 0.8f;
                const Peaks peaks = find(heat);
                ASSERT_EQ(peaks.count(0), 1) << height << " x " << width << ", column " << x;
                EXPECT_EQ(peaks.all[0].x, static_cast<float>(x));
                EXPECT_EQ(peaks.all[0].y, static_cast<float>(height - 1));
            }
        }
    }
}

TEST(Peaks, AtTheEdgesStayInTheMap) {
    constexpr int kHeight = 11;
    constexpr int kWidth = 17;
    for (const float y : {-0.4f, 0.0f, 5.0f, 10.0f, 10.4f}) {
        for (const float x : {-0.4f, 0.0f, 8.0f, 16.0f, 16.4f}) {
            Canvas heat(1, kHeight, kWidth);
            heat.blob(0, x, y);
            const Peaks peaks = find(heat);
            ASSERT_EQ(peaks.count(0), 1) << x << ", " << y;
            EXPECT_NEAR(peaks.all[0].x, x, 0.6);
            EXPECT_NEAR(peaks.all[0].y, y, 0.6);
            expect_inside(peaks, kHeight, kWidth);
        }
    }
}

TEST(Peaks, AGaussianIsLocatedBelowACell) {
    for (int i = -9; i <= 9; ++i) {
        for (int j = -9; j <= 9; ++j) {
            const float x = 10 + 0.05f * static_cast<float>(i);
            const float y = 7 + 0.05f * static_cast<float>(j);
            Canvas heat(1, 15, 21);
            heat.blob(0, x, y, 0.8f);
            const Peaks peaks = find(heat);
            ASSERT_EQ(peaks.count(0), 1);
            EXPECT_NEAR(peaks.all[0].x, x, 1e-4);
            EXPECT_NEAR(peaks.all[0].y, y, 1e-4);
        }
    }
}

TEST(Peaks, ValuesThatAreNotFiniteCountAsZero) {
    for (const float hostile : {kNan, kInfinity, -kInfinity}) {
        EXPECT_EQ(find(Canvas(1, 20, 40, hostile)).count(0), 0) << hostile;

        Canvas around(1, 7, 7);
        for (int y = 2; y <= 4; ++y) {
            for (int x = 2; x <= 4; ++x) around.at(0, y, x) = hostile;
        }
        around.at(0, 3, 3) = 0.4f;
        const Peaks peaks = find(around);
        ASSERT_EQ(peaks.count(0), 1) << hostile;
        EXPECT_EQ(peaks.all[0].x, 3);
        EXPECT_EQ(peaks.all[0].y, 3);
        EXPECT_EQ(peaks.all[0].score, 0.4f);
    }
}

TEST(Peaks, OfAnySizeOfNumbersStayInTheMap) {
    // The parabola through three huge values overflows.
    const float values[] = {-FLT_MAX, -1, 0, 0.5f, 1, FLT_MAX, std::nextafter(FLT_MAX, 0.0f)};
    for (const float left : values) {
        for (const float centre : values) {
            for (const float right : values) {
                Canvas heat(1, 5, 5);
                heat.at(0, 2, 1) = heat.at(0, 1, 2) = left;
                heat.at(0, 2, 2) = centre;
                heat.at(0, 2, 3) = heat.at(0, 3, 2) = right;
                expect_inside(find(heat), 5, 5);
            }
        }
    }
}

TEST(Peaks, AreTheSameThroughPaddedRowsAndNegativeStrides) {
    constexpr int kHeight = 13;
    constexpr int kWidth = 37;
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(0, 1);
    Canvas heat(2, kHeight, kWidth);
    for (float& cell : heat.cells()) cell = uniform(random);
    const Peaks expected = find(heat, {}, 2);
    ASSERT_GT(expected.count(0), 5);

    // The same cells stored upside down, the last part first, seven cells of NaN behind each row.
    constexpr int kStride = kWidth + 7;
    std::vector<float> stored(2 * kHeight * kStride, kNan);
    for (int part = 0; part < 2; ++part) {
        for (int y = 0; y < kHeight; ++y) {
            for (int x = 0; x < kWidth; ++x) {
                stored[((1 - part) * kHeight + (kHeight - 1 - y)) * kStride + x] =
                    heat.at(part, y, x);
            }
        }
    }
    const MapView turned(stored, 2, kHeight, kWidth,
                         Strides{-kHeight * kStride, -kStride, 1, (2 * kHeight - 1) * kStride});
    const Peaks found = find(turned, {}, 2);
    ASSERT_EQ(found.begin, expected.begin);
    for (std::size_t i = 0; i < found.all.size(); ++i) {
        EXPECT_EQ(found.all[i].x, expected.all[i].x);
        EXPECT_EQ(found.all[i].y, expected.all[i].y);
        EXPECT_EQ(found.all[i].score, expected.all[i].score);
    }
}

TEST(Peaks, BeyondTheCapTheWeakestGoNotTheLast) {
    DecodeOptions options;
    options.max_peaks = 3;
    Canvas heat(2, 5, 41);
    for (int i = 0; i < 10; ++i) {
        heat.at(0, 2, 4 * i + 2) = 0.2f + 0.05f * static_cast<float>(i);
        heat.at(1, 2, 4 * i + 2) = 0.9f - 0.05f * static_cast<float>(i);
    }
    const Peaks peaks = find(heat, options, 2);
    ASSERT_EQ(peaks.begin, (std::vector<int>{0, 3, 6}));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(peaks.of(0)[i].x, static_cast<float>(4 * (7 + i) + 2)) << "rising";
        EXPECT_EQ(peaks.of(1)[i].x, static_cast<float>(4 * i + 2)) << "falling";
    }
}

TEST(Peaks, OfEqualStrengthTheFirstStayUnderTheCap) {
    DecodeOptions options;
    options.max_peaks = 2;
    Canvas heat(1, 5, 21);
    for (const int x : {2, 6, 10, 14}) heat.at(0, 2, x) = 0.5f;
    heat.at(0, 2, 18) = 0.6f;
    const Peaks peaks = find(heat, options);
    ASSERT_EQ(peaks.count(0), 2);
    EXPECT_EQ(peaks.all[0].x, 2);
    EXPECT_EQ(peaks.all[1].x, 18);
}

TEST(Peaks, OfNoiseAreItsStrictMaximaAndNoCellBelowASideNeighbour) {
    constexpr int kHeight = 40;
    constexpr int kWidth = 51;
    std::mt19937 random(2);
    std::uniform_real_distribution<float> uniform(-0.2f, 1);
    Canvas heat(1, kHeight, kWidth);
    for (float& cell : heat.cells()) cell = uniform(random);
    DecodeOptions options;
    options.max_peaks = 4096;
    const Peaks peaks = find(heat, options);
    expect_inside(peaks, kHeight, kWidth);

    std::vector<char> is_found(heat.cells().size());
    const auto value = [&heat](int y, int x) {
        return y >= 0 && y < kHeight && x >= 0 && x < kWidth ? heat.at(0, y, x) : 0.0f;
    };
    for (const Peak& peak : peaks.all) {
        // A shift of exactly half a cell would leave the cell open; noise has none.
        const auto x = static_cast<int>(std::lround(peak.x));
        const auto y = static_cast<int>(std::lround(peak.y));
        is_found[y * kWidth + x] = 1;
        EXPECT_EQ(peak.score, value(y, x));
        for (const float side :
             {value(y - 1, x), value(y + 1, x), value(y, x - 1), value(y, x + 1)}) {
            EXPECT_GE(peak.score, side);
        }
    }
    int maxima = 0;
    for (int y = 0; y < kHeight; ++y) {
        for (int x = 0; x < kWidth; ++x) {
            bool is_maximum = value(y, x) > 0.1f;
            for (int dy = -1; dy <= 1; ++dy) {
                for (int dx = -1; dx <= 1; ++dx) {
                    is_maximum &= (dy == 0 && dx == 0) || value(y, x) > value(y + dy, x + dx);
                }
            }
            maxima += static_cast<int>(is_maximum);
            EXPECT_TRUE(!is_maximum || is_found[y * kWidth + x] != 0) << x << ", " << y;
        }
    }
    EXPECT_GT(maxima, 100);
}

}  // namespace
}  // namespace openpose_ext
