#include "openpose_ext/merge.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "canvas.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;

Canvas noise(int channels, int height, int width, unsigned seed) {
    Canvas maps(channels, height, width);
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& cell : maps.cells()) cell = uniform(random);
    return maps;
}

// All channels in their order, every cell in its place.
Pass plain(const MapView& maps) {
    Pass pass;
    pass.maps = maps;
    pass.channel.resize(maps.channels());
    std::iota(pass.channel.begin(), pass.channel.end(), 0);
    pass.sign.assign(maps.channels(), 1);
    return pass;
}

std::vector<float> merged(const std::vector<Pass>& passes, int channels, int height, int width) {
    constexpr float kOld = 77;  // what lay there before must not shine through
    std::vector<float> out(static_cast<std::size_t>(channels) * height * width, kOld);
    merge(passes, channels, height, width, out);
    return out;
}

TEST(Merge, OfOnePassInPlaceIsThatPass) {
    Canvas maps = noise(3, 7, 9, 1);
    EXPECT_EQ(merged({plain(maps.view())}, 3, 7, 9), maps.cells());
}

TEST(Merge, WeighsAllPassesEqually) {
    for (int count = 1; count <= 5; ++count) {
        std::vector<Canvas> maps;
        for (int i = 0; i < count; ++i) maps.emplace_back(1, 4 + i, 5 + i, i == 0 ? 1.0f : 0.0f);
        // Whichever pass is lit, its share is the same.
        for (int lit = 0; lit < count; ++lit) {
            std::vector<Pass> passes;
            for (int i = 0; i < count; ++i) passes.push_back(plain(maps[(i + lit) % count].view()));
            for (const float cell : merged(passes, 1, 4, 5)) {
                EXPECT_NEAR(cell, 1.0 / count, 1e-6);
            }
        }
    }
}

TEST(Merge, WeighsPassesAsAsked) {
    Canvas ones(1, 4, 5, 1.0f);
    Canvas zeros(1, 6, 7, 0.0f);
    Pass light = plain(zeros.view());
    light.weight = 1;
    Pass heavy = plain(ones.view());
    heavy.weight = 3;
    for (const float cell : merged({light, heavy}, 1, 4, 5)) EXPECT_NEAR(cell, 0.75, 1e-6);
    for (const double wrong : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
        light.weight = wrong;
        EXPECT_THROW(merged({light, heavy}, 1, 4, 5), std::invalid_argument) << wrong;
    }
}

TEST(Merge, ReadsAMirroredPassBackwardsWithExchangedChannels) {
    Canvas maps = noise(2, 6, 8, 2);
    Pass mirrored = plain(maps.view());
    mirrored.scale_x = -1;
    mirrored.shift_x = 7;
    mirrored.channel = {1, 0};
    mirrored.sign = {-1, 1};
    const std::vector<float> found = merged({mirrored}, 2, 6, 8);
    for (int y = 0; y < 6; ++y) {
        for (int x = 0; x < 8; ++x) {
            EXPECT_EQ(found[y * 8 + x], -maps.at(1, y, 7 - x));
            EXPECT_EQ(found[(6 + y) * 8 + x], maps.at(0, y, 7 - x));
        }
    }
}

TEST(Merge, KeepsAPartInItsPlaceWhenThePassIsCoarser) {
    // Cell x of the fine maps lies at (x + 0.5) / 2 - 0.5 of the coarse ones.
    Canvas coarse(1, 20, 24);
    coarse.blob(0, 10.3f, 8.6f, 1, 2);
    Pass pass = plain(coarse.view());
    pass.scale_x = pass.scale_y = 0.5;
    pass.shift_x = pass.shift_y = -0.25;
    const std::vector<float> fine = merged({pass}, 1, 40, 48);
    double sum = 0;
    double sum_x = 0;
    double sum_y = 0;
    for (int y = 0; y < 40; ++y) {
        for (int x = 0; x < 48; ++x) {
            sum += fine[y * 48 + x];
            sum_x += fine[y * 48 + x] * x;
            sum_y += fine[y * 48 + x] * y;
        }
    }
    EXPECT_NEAR(sum_x / sum, 2 * 10.3 + 0.5, 0.02);
    EXPECT_NEAR(sum_y / sum, 2 * 8.6 + 0.5, 0.02);
}

TEST(Merge, RepeatsTheEdgeBeyondIt) {
    Canvas maps(1, 2, 2);
    maps.at(0, 0, 0) = 1;
    maps.at(0, 0, 1) = 2;
    maps.at(0, 1, 0) = 3;
    maps.at(0, 1, 1) = 4;
    for (const double far : {10.0, 1e9, 1e300}) {
        Pass pass = plain(maps.view());
        pass.shift_x = pass.shift_y = -far;
        EXPECT_EQ(merged({pass}, 1, 1, 1)[0], 1) << far;
        pass.shift_x = far;
        EXPECT_EQ(merged({pass}, 1, 1, 1)[0], 2) << far;
    }
}

TEST(Merge, CountsValuesThatAreNotFiniteAsZero) {
    Canvas clean = noise(1, 9, 9, 3);
    Canvas spoilt = clean;
    const float hostile[] = {std::numeric_limits<float>::quiet_NaN(),
                             std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity()};
    for (int i = 0; i < 3; ++i) {
        clean.at(0, 2 * i + 1, 4) = 0;
        spoilt.at(0, 2 * i + 1, 4) = hostile[i];
    }
    Pass expected = plain(clean.view());
    Pass pass = plain(spoilt.view());
    expected.shift_x = pass.shift_x = 0.3;
    EXPECT_EQ(merged({pass}, 1, 9, 9), merged({expected}, 1, 9, 9));
}

TEST(Merge, RefusesWhatDoesNotFit) {
    const Canvas maps(2, 4, 4);
    std::vector<float> out(2 * 4 * 4);
    const auto refused = [&out](const std::vector<Pass>& passes) {
        EXPECT_THROW(merge(passes, 2, 4, 4, out), std::invalid_argument);
    };
    const Pass good = plain(maps.view());
    EXPECT_NO_THROW(merge({good, good}, 2, 4, 4, out));
    refused({});
    Pass pass = good;
    pass.channel = {0};
    refused({good, pass});
    pass = good;
    pass.sign = {1, 1, 1};
    refused({pass});
    pass = good;
    pass.channel = {0, 2};
    refused({pass});
    pass.channel = {-1, 0};
    refused({pass});
    pass = good;
    pass.scale_y = std::numeric_limits<double>::quiet_NaN();
    refused({pass});
    pass = good;
    pass.maps = MapView();
    refused({pass});
    out.pop_back();
    refused({good});
}

}  // namespace
}  // namespace openpose_ext
