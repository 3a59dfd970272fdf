// A hand's maps: the fast decoder's rules, and each of the seed's. The whole of the latter is
// compared with an independent oracle in tests/test_hand_decode.py.
#include "openpose_ext/hand.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "canvas.hpp"
#include "openpose_ext/reference.hpp"

namespace openpose_ext {
namespace {

using openpose_ext::testing::Canvas;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Maps of stride 8 whose picture is the network's input.
Placement at_stride_8(int width, int height) { return {8, 3.5, 8, 3.5, 8 * width, 8 * height}; }

std::vector<Peak> decode(const Canvas& heat) {
    return decode_hand(heat.view(), at_stride_8(heat.view().width(), heat.view().height()));
}

void expect_missing(const Peak& point) {
    EXPECT_EQ(point.x, 0);
    EXPECT_EQ(point.y, 0);
    EXPECT_EQ(point.score, 0);
}

TEST(Hand, PointsLieBelowACellInThePicture) {
    Canvas heat(22, 20, 23);
    for (int part = 0; part < kHandPoints; ++part) {
        heat.blob(part, 3.25f + 0.5f * static_cast<float>(part), 9.6f, 0.8f);
    }
    const std::vector<Peak> points = decode(heat);
    ASSERT_EQ(points.size(), 21U);
    for (int part = 0; part < kHandPoints; ++part) {
        EXPECT_NEAR(points[part].x, 8 * (3.25 + 0.5 * part) + 3.5, 1e-3);
        EXPECT_NEAR(points[part].y, 8 * 9.6 + 3.5, 1e-3);
        EXPECT_GT(points[part].score, 0.6);
        EXPECT_LE(points[part].score, 0.8);
    }
}

TEST(Hand, OfSeveralPeaksTheHighestCountsAndOfEqualOnesTheFirst) {
    Canvas heat(21, 30, 30);
    heat.blob(0, 5, 5, 0.5f);
    heat.blob(0, 20, 20, 0.6f);
    heat.blob(1, 20, 9, 0.5f);
    heat.blob(1, 9, 20, 0.5f);
    const std::vector<Peak> points = decode(heat);
    EXPECT_NEAR(points[0].x, 8 * 20 + 3.5, 1e-3);
    EXPECT_NEAR(points[1].y, 8 * 9 + 3.5, 1e-3);
}

TEST(Hand, WeakPointsAreMissing) {
    Canvas heat(22, 10, 10);
    heat.at(3, 4, 4) = kHandThreshold;
    heat.at(4, 4, 4) = std::nextafter(kHandThreshold, 1.0f);
    heat.at(5, 4, 4) = -1;
    const std::vector<Peak> points = decode(heat);
    for (int part = 0; part < kHandPoints; ++part) {
        if (part != 4) expect_missing(points[part]);
    }
    EXPECT_FLOAT_EQ(points[4].x, 8 * 4 + 3.5);
    EXPECT_GT(points[4].score, kHandThreshold);
}

TEST(Hand, TheBackgroundIsNoPoint) {
    Canvas heat(22, 10, 10);
    heat.at(21, 4, 4) = 1;
    for (const Peak& point : decode(heat)) expect_missing(point);
}

TEST(Hand, ValuesThatAreNotFiniteCountAsZero) {
    for (const float hostile : {kNan, kInfinity, -kInfinity}) {
        Canvas heat(21, 9, 9, hostile);
        for (const Peak& point : decode(heat)) expect_missing(point);
        heat.at(0, 4, 4) = 0.5f;
        const std::vector<Peak> points = decode(heat);
        EXPECT_FLOAT_EQ(points[0].x, 8 * 4 + 3.5);
        EXPECT_EQ(points[0].score, 0.5f);
    }
}

TEST(Hand, PointsAreClippedToThePictureAndScoresToOne) {
    Canvas heat(21, 4, 4);
    heat.at(0, 0, 0) = 7;
    const std::vector<Peak> points = decode_hand(heat.view(), Placement{1, -10, 1, 10, 5, 5});
    EXPECT_EQ(points[0].x, 0);
    EXPECT_EQ(points[0].y, 4);
    EXPECT_EQ(points[0].score, 1);
}

TEST(Hand, OtherMapsAreRefused) {
    for (const int channels : {0, 1, 19, 20, 23}) {
        EXPECT_THROW(decode(Canvas(channels, 4, 4)), std::invalid_argument) << channels;
        EXPECT_THROW(reference::find_hand(Canvas(channels, 4, 4).view().as<float>()),
                     std::invalid_argument);
    }
    EXPECT_THROW(decode(Canvas(21, 0, 4)), std::invalid_argument);
}

TEST(ReferenceHand, TheStrongestComponentWinsNotTheHighestPixel) {
    Canvas heat(21, 60, 80);
    heat.blob(0, 20, 30, 0.9f, 4);
    heat.blob(0, 60, 30, 0.6f, 9);
    const auto points = reference::find_hand(heat.view().as<float>());
    ASSERT_EQ(points.size(), 21U);
    EXPECT_EQ(points[0].x, 60);
    EXPECT_EQ(points[0].y, 30);
    EXPECT_FLOAT_EQ(static_cast<float>(points[0].score), 0.6f);
    EXPECT_EQ(points[1].score, 0);
}

TEST(ReferenceHand, OfEqualPixelsTheFirstInRasterOrderIsTaken) {
    Canvas heat(21, 40, 40);
    for (int y = 15; y < 25; ++y) {
        for (int x = 12; x < 22; ++x) heat.at(0, y, x) = 0.5f;
    }
    const auto points = reference::find_hand(heat.view().as<float>());
    EXPECT_EQ(points[0].x, 12);
    EXPECT_EQ(points[0].y, 15);
}

TEST(ReferenceHand, DiagonalNeighboursAreOneComponent) {
    // Two squares that touch in a corner only: smoothed, their bridge is a diagonal. As one
    // component the higher pixel wins though its own square is the weaker.
    Canvas heat(21, 50, 50);
    for (int y = 10; y < 24; ++y) {
        for (int x = 10; x < 24; ++x) heat.at(0, y, x) = 0.3f;
    }
    for (int y = 24; y < 30; ++y) {
        for (int x = 24; x < 30; ++x) heat.at(0, y, x) = 0.4f;
    }
    const auto points = reference::find_hand(heat.view().as<float>());
    EXPECT_EQ(points[0].x, 24);
    EXPECT_EQ(points[0].y, 24);
}

}  // namespace
}  // namespace openpose_ext
