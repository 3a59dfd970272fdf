#include "openpose_ext/maps.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "openpose_ext/decode.hpp"
#include "openpose_ext/hand.hpp"
#include "skeletons.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;
using testing::Picture;

// A half by its definition: sign, exponent and fraction as numbers.
float by_definition(std::uint32_t bits) {
    const float sign = (bits & 0x8000U) != 0 ? -1.0f : 1.0f;
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const auto fraction = static_cast<float>(bits & 1023);
    if (exponent == 0) return sign * std::ldexp(fraction, -24);
    if (exponent == 31) {
        return fraction > 0 ? std::numeric_limits<float>::quiet_NaN()
                            : sign * std::numeric_limits<float>::infinity();
    }
    return sign * std::ldexp(1024 + fraction, exponent - 25);
}

float16 half(std::uint32_t bits) { return static_cast<float16>(bits); }

// The nearest half: what a network computed in half precision would have given.
float16 to_half(float value) {
    std::uint32_t best = 0;
    const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
    // Halves of one sign are ordered as their bits.
    for (std::uint32_t step = 0x4000; step > 0; step /= 2) {
        const std::uint32_t bits = best + step;
        if (bits <= 0x7bff && by_definition(bits) <= std::abs(value)) best = bits;
    }
    return half(best | sign);
}

TEST(Float16, EveryOneOfThemIsItsFloat32) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const float expected = by_definition(bits);
        const float value = to_float(half(bits));
        if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(value)) << bits;
        } else {
            EXPECT_EQ(value, expected) << bits;
            EXPECT_EQ(std::signbit(value), std::signbit(expected)) << bits;
        }
    }
}

std::string complaint_of(const std::vector<float>& cells, int channels, int height, int width,
                         const Strides& strides) {
    try {
        const MapView view(cells, channels, height, width, strides);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

TEST(MapView, ReadsBothLayouts) {
    const std::vector<float> cells{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const MapView planar(cells, 2, 3, 2);
    const MapView interleaved(cells, 2, 3, 2, Layout::interleaved);
    for (int channel = 0; channel < 2; ++channel) {
        for (int y = 0; y < 3; ++y) {
            for (int x = 0; x < 2; ++x) {
                EXPECT_EQ(planar.at(channel, y, x), static_cast<float>(6 * channel + 2 * y + x));
                EXPECT_EQ(interleaved.at(channel, y, x),
                          static_cast<float>(4 * y + 2 * x + channel));
            }
        }
    }
    EXPECT_TRUE(planar.has_adjacent_rows());
    EXPECT_FALSE(interleaved.has_adjacent_rows());
    std::vector<float> memory;
    const MapView packed = pack(interleaved, memory);
    EXPECT_TRUE(packed.has_adjacent_rows());
    EXPECT_EQ(packed.at(1, 2, 0), interleaved.at(1, 2, 0));
}

TEST(MapView, NeedsAsManyCellsAsItSays) {
    const std::vector<float> cells(24);
    EXPECT_NO_THROW(MapView(cells, 2, 3, 4));
    EXPECT_THROW(MapView(cells, 2, 3, 5), std::invalid_argument);
    EXPECT_THROW(MapView(cells, 2, 3, 3), std::invalid_argument);
    EXPECT_THROW(MapView(cells, -2, -3, 4), std::invalid_argument);
    EXPECT_THROW(MapView(cells, 24, 1, 0), std::invalid_argument);
    try {
        const MapView view(cells, 19, 46, 82);
        FAIL() << "no error";
    } catch (const std::invalid_argument& error) {
        const std::string what = error.what();
        EXPECT_NE(what.find("24"), std::string::npos) << what;
        EXPECT_NE(what.find("19 maps of 46 x 82"), std::string::npos) << what;
    }
}

TEST(MapView, StridesMayNotLeaveTheCells) {
    const std::vector<float> cells(24);
    EXPECT_EQ(complaint_of(cells, 2, 3, 4, {12, 4, 1, 0}), "");
    EXPECT_EQ(complaint_of(cells, 2, 3, 4, {-12, -4, -1, 23}), "");
    EXPECT_EQ(complaint_of(cells, 2, 3, 4, {0, 0, 0, 23}), "") << "one cell for all";
    const Strides beyond[] = {
        {12, 4, 1, 1},          {12, 4, 1, -1},          {13, 4, 1, 0},          {12, 5, 1, 0},
        {12, 4, 2, 0},          {-12, 4, 1, 0},          {12, -4, 1, 0},         {12, 4, -1, 0},
        {PTRDIFF_MAX, 4, 1, 0}, {12, PTRDIFF_MIN, 1, 0}, {12, 4, 1, PTRDIFF_MAX}};
    for (const Strides& strides : beyond) {
        EXPECT_NE(complaint_of(cells, 2, 3, 4, strides).find("leave the 24"), std::string::npos)
            << strides.channel << ", " << strides.row << ", " << strides.column << " from "
            << strides.first;
    }
}

// The same picture in every type and layout.
class Layouts : public ::testing::Test {
protected:
    Layouts() : picture_(46, 82) {
        picture_.draw(20, 9, 28);
        picture_.draw(55, 12, 22);
        // To what halves can hold, so that both types have the same values.
        for (Canvas* maps : {&picture_.heat, &picture_.paf}) {
            for (float& cell : maps->cells()) cell = to_float(to_half(cell));
        }
        const MapView heat = picture_.heat.view();
        expected_ =
            decoder_.decode(heat, picture_.paf.view(), coco_18(), Placement::network(8, heat));
        EXPECT_EQ(expected_.count, 2);
    }

    template <class T>
    std::vector<T> stored(const MapView& maps, Layout layout) {
        std::vector<T> cells;
        const auto add = [&](int channel, int y, int x) {
            if constexpr (sizeof(T) == 2) {
                cells.push_back(to_half(maps.at(channel, y, x)));
            } else {
                cells.push_back(maps.at(channel, y, x));
            }
        };
        const bool planar = layout == Layout::planar;
        const int outer = planar ? maps.channels() : 1;
        const int inner = planar ? 1 : maps.channels();
        for (int c = 0; c < outer; ++c) {
            for (int y = 0; y < maps.height(); ++y) {
                for (int x = 0; x < maps.width(); ++x) {
                    for (int d = 0; d < inner; ++d) add(c + d, y, x);
                }
            }
        }
        return cells;
    }

    void expect_same(const MapView& heat, const MapView& paf) {
        const People& people = decoder_.decode(heat, paf, coco_18(), Placement::network(8, heat));
        EXPECT_EQ(people.keypoints, expected_.keypoints);
        EXPECT_EQ(people.scores, expected_.scores);
        EXPECT_EQ(people.filled, expected_.filled);
    }

    Picture picture_;
    Decoder decoder_;
    People expected_;
};

TEST_F(Layouts, GiveTheSamePeople) {
    const MapView heat = picture_.heat.view();
    const MapView paf = picture_.paf.view();
    constexpr Layout kLayouts[] = {Layout::planar, Layout::interleaved};
    for (const Layout one : kLayouts) {
        const auto heat_float = stored<float>(heat, one);
        const auto heat_half = stored<float16>(heat, one);
        for (const Layout other : kLayouts) {
            const auto paf_float = stored<float>(paf, other);
            const auto paf_half = stored<float16>(paf, other);
            for (const MapView& heats :
                 {MapView(heat_float, 19, 46, 82, one), MapView(heat_half, 19, 46, 82, one)}) {
                expect_same(heats, {paf_float, 38, 46, 82, other});
                expect_same(heats, {paf_half, 38, 46, 82, other});
            }
        }
    }
}

TEST_F(Layouts, OneTensorMayHoldBothMaps) {
    // 57 channels side by side, as networks of one output give them.
    std::vector<float> cells = stored<float>(picture_.heat.view(), Layout::planar);
    const std::vector<float> paf = stored<float>(picture_.paf.view(), Layout::planar);
    cells.insert(cells.end(), paf.begin(), paf.end());
    const std::span<const float> all(cells);
    constexpr int kMap = 46 * 82;
    expect_same({all.first(19 * kMap), 19, 46, 82}, {all.subspan(19 * kMap), 38, 46, 82});
}

TEST(MapView, AHandIsTheSameInEveryLayout) {
    Canvas heat(22, 20, 24);
    for (int k = 0; k < 21; ++k) heat.blob(k, 2.3f + static_cast<float>(k) / 2, 9.7f, 0.8f);
    std::vector<float16> halves;
    std::vector<float> interleaved;
    for (float& cell : heat.cells()) {
        halves.push_back(to_half(cell));
        cell = to_float(halves.back());
    }
    for (int cell = 0; cell < 20 * 24; ++cell) {
        for (int k = 0; k < 22; ++k) interleaved.push_back(heat.cells()[k * 20 * 24 + cell]);
    }
    const Placement placement = Placement::network(8, heat.view());
    const std::vector<Peak> expected = decode_hand(heat.view(), placement);
    for (const MapView& view :
         {MapView(halves, 22, 20, 24), MapView(interleaved, 22, 20, 24, Layout::interleaved)}) {
        const std::vector<Peak> points = decode_hand(view, placement);
        for (int k = 0; k < 21; ++k) {
            EXPECT_EQ(points[k].x, expected[k].x);
            EXPECT_EQ(points[k].y, expected[k].y);
            EXPECT_EQ(points[k].score, expected[k].score);
            EXPECT_GT(points[k].score, 0.5f);
        }
    }
}

TEST(Placement, OfANetworkIsItsPixels) {
    const Canvas maps(1, 46, 82);
    const Placement placement = Placement::network(8, maps.view());
    const Peak first = placement.to_picture({0, 0, 1});
    const Peak last = placement.to_picture({81, 45, 1});
    EXPECT_EQ(first.x, 3.5f);
    EXPECT_EQ(first.y, 3.5f);
    EXPECT_EQ(last.x, 651.5f);
    EXPECT_EQ(last.y, 363.5f);
    EXPECT_EQ(placement.width, 656);
    EXPECT_EQ(placement.height, 368);
}

}  // namespace
}  // namespace openpose_ext
