#include "openpose_ext/regions.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "persons.hpp"

namespace openpose_ext {
namespace {

using testing::people_of;
using testing::standing;
using testing::stick;

constexpr double kAll = std::numeric_limits<double>::infinity();

RegionOptions options_of(double stature, double pixels = kAll) {
    RegionOptions options;
    options.stature = stature;
    options.pixels = pixels;
    return options;
}

double pixels_of(const std::vector<Region>& regions) {
    double pixels = 0;
    for (const Region& region : regions) {
        pixels += static_cast<double>(region.network_width) * region.network_height;
    }
    return pixels;
}

void expect_sound(const std::vector<Region>& regions, int width, int height, int step) {
    for (const Region& region : regions) {
        EXPECT_GE(region.left, 0);
        EXPECT_GE(region.top, 0);
        EXPECT_GE(region.width, 1);
        EXPECT_GE(region.height, 1);
        EXPECT_LE(region.left + region.width, width);
        EXPECT_LE(region.top + region.height, height);
        EXPECT_EQ(region.network_width % step, 0);
        EXPECT_EQ(region.network_height % step, 0);
        EXPECT_GE(region.content_width, 1);
        EXPECT_GE(region.content_height, 1);
        EXPECT_LE(region.content_width, region.network_width);
        EXPECT_LE(region.content_height, region.network_height);
        EXPECT_TRUE(std::is_sorted(region.people.begin(), region.people.end()));
    }
}

TEST(Regions, APersonIsSeenAsTallAsAskedWithRoomAround) {
    const People people = people_of({standing(500, 300, 60)}, {0.8f});
    const auto regions = find_regions(people, stick(), 1000, 1000, options_of(260));
    ASSERT_EQ(regions.size(), 1u);
    const Region& region = regions[0];
    expect_sound(regions, 1000, 1000, 32);
    EXPECT_EQ(region.people, std::vector<int>{0});
    const double stature = 3.3 * 60;
    EXPECT_NEAR(static_cast<double>(region.content_height) / region.height, 260 / stature, 0.02);
    // A quarter of the stature on all sides of the parts at y 300 to 480.
    EXPECT_LE(region.left, 500 - stature / 4 + 1);
    EXPECT_GE(region.left + region.width, 500 + stature / 4);
    EXPECT_LE(region.top, 300 - stature / 4 + 1);
    EXPECT_GE(region.top + region.height, 480 + stature / 4);
}

TEST(Regions, NeighboursShareARegionAndStrangersDoNot) {
    const People people =
        people_of({standing(100, 100, 30), standing(130, 100, 32), standing(800, 100, 30)},
                  {0.8f, 0.7f, 0.6f});
    const auto regions = find_regions(people, stick(), 1000, 400, options_of(200));
    ASSERT_EQ(regions.size(), 2u);
    EXPECT_EQ(regions[0].people, (std::vector<int>{0, 1}));
    EXPECT_EQ(regions[1].people, std::vector<int>{2});
}

TEST(Regions, PeopleOfOtherSizesAreSeenApart) {
    const People people = people_of({standing(100, 100, 30), standing(110, 60, 70)}, {0.8f, 0.7f});
    EXPECT_EQ(find_regions(people, stick(), 1000, 400, options_of(200)).size(), 2u);
}

TEST(Regions, TheBoundHoldsAndTheSmallestAndWeakestGoFirst) {
    const People people = people_of(
        {standing(100, 50, 60), standing(500, 50, 30), standing(900, 50, 50)}, {0.5f, 0.5f, 0.9f});
    const double all = pixels_of(find_regions(people, stick(), 1100, 400, options_of(260)));
    const auto smaller = find_regions(people, stick(), 1100, 400, options_of(260, 0.6 * all));
    EXPECT_EQ(smaller.size(), 3u) << "everybody is seen smaller first";
    EXPECT_LE(pixels_of(smaller), 0.6 * all);
    const auto fewer = find_regions(people, stick(), 1100, 400, options_of(260, 0.2 * all));
    EXPECT_LE(pixels_of(fewer), 0.2 * all);
    for (const Region& region : fewer) EXPECT_NE(region.people, std::vector<int>{1});
    EXPECT_TRUE(find_regions(people, stick(), 1100, 400, options_of(260, 0)).empty());
}

TEST(Regions, ANetworkOfOneSizeSeesAsMuchAsFits) {
    RegionOptions options = options_of(300);
    options.fixed_width = 456;
    options.fixed_height = 256;
    const People people = people_of({standing(500, 300, 60)}, {0.8f});
    const auto regions = find_regions(people, stick(), 1000, 1000, options);
    ASSERT_EQ(regions.size(), 1u);
    EXPECT_EQ(regions[0].network_width, 456);
    EXPECT_EQ(regions[0].network_height, 256);
    EXPECT_LE(regions[0].top, 300 - 3.3 * 60 / 4 + 1);
    EXPECT_GE(regions[0].top + regions[0].height, 480 + 3.3 * 60 / 4);
    EXPECT_LE(regions[0].content_height, 256);
}

TEST(Regions, SeveralPeopleShareAnInputOfOneSize) {
    RegionOptions options = options_of(150, 2.5 * 456 * 256);
    options.fixed_width = 456;
    options.fixed_height = 256;
    options.step = 8;
    People people = people_of({}, {});
    people.parts = 4;
    for (int i = 0; i < 40; ++i) {
        const auto person = standing(60.0f + 110.0f * static_cast<float>(i), 100, 20);
        people.keypoints.insert(people.keypoints.end(), person.begin(), person.end());
        people.scores.push_back(0.5f);
        ++people.count;
    }
    people.filled.assign(4 * 40, 0);
    const auto regions = find_regions(people, stick(), 4500, 300, options);
    EXPECT_GT(regions.size(), 4u);
    for (std::size_t i = 0; i < regions.size(); ++i) {
        const Region& one = regions[i];
        EXPECT_GE(one.input, 0);
        EXPECT_LT(one.input, 2);
        EXPECT_EQ(one.input_left % 4, 0);
        EXPECT_LE(one.input_left + one.network_width, 456);
        EXPECT_LE(one.input_top + one.network_height, 256);
        for (std::size_t j = 0; j < i; ++j) {
            const Region& other = regions[j];
            const bool apart = one.input != other.input ||
                               one.input_left >= other.input_left + other.network_width + 4 ||
                               other.input_left >= one.input_left + one.network_width + 4 ||
                               one.input_top >= other.input_top + other.network_height + 4 ||
                               other.input_top >= one.input_top + one.network_height + 4;
            EXPECT_TRUE(apart) << i << " and " << j;
        }
    }
}

TEST(Regions, NobodyGivesNone) {
    EXPECT_TRUE(find_regions(people_of({}, {}), stick(), 10, 10, options_of(260)).empty());
    const People without = people_of({std::vector<float>(12, 0.0f)}, {0.8f});
    EXPECT_TRUE(find_regions(without, stick(), 10, 10, options_of(260)).empty());
}

TEST(Regions, OfACrowdStayWithinTheBoundAndThePicture) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(0, 1);
    for (const int width : {1, 7, 640, 4000}) {
        People people;
        people.parts = 4;
        for (int i = 0; i < 300; ++i) {
            const auto person = standing(uniform(random) * static_cast<float>(width),
                                         uniform(random) * 480, 1 + 200 * uniform(random));
            people.keypoints.insert(people.keypoints.end(), person.begin(), person.end());
            people.scores.push_back(uniform(random));
            ++people.count;
        }
        people.filled.assign(4 * 300, 0);
        const auto regions = find_regions(people, stick(), width, 480, options_of(260, 500'000));
        EXPECT_FALSE(regions.empty());
        EXPECT_LE(pixels_of(regions), 500'000);
        expect_sound(regions, width, 480, 32);
    }
}

TEST(Regions, OptionsOutOfRangeAreRefused) {
    const People nobody = people_of({}, {});
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const double wrong : {0.0, -1.0, nan, kAll}) {
        EXPECT_THROW(find_regions(nobody, stick(), 9, 9, options_of(wrong)), std::invalid_argument);
    }
    for (const double wrong : {-1.0, nan}) {
        EXPECT_THROW(find_regions(nobody, stick(), 9, 9, options_of(260, wrong)),
                     std::invalid_argument);
    }
    EXPECT_THROW(find_regions(nobody, stick(), 0, 9, options_of(260)), std::invalid_argument);
    RegionOptions half = options_of(260);
    half.fixed_width = 10;
    EXPECT_THROW(find_regions(nobody, stick(), 9, 9, half), std::invalid_argument);
}

}  // namespace
}  // namespace openpose_ext
