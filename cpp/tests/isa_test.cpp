// All clones of the hot loops give the same bits.
#include "isa.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"
#include "openpose_ext/reference.hpp"
#include "skeletons.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;
using testing::Picture;

// Every instruction set of this processor in turn; what was chosen comes back at the end.
class Clones : public ::testing::Test {
protected:
    Clones() {
        choose_isa();
        before_ = isa();
    }
    ~Clones() override { use_isa(before_); }

    static std::vector<Isa> supported() {
        std::vector<Isa> all;
        for (const Isa one : {Isa::baseline, Isa::avx2, Isa::avx512}) {
            if (is_supported(one)) all.push_back(one);
        }
        return all;
    }

private:
    Isa before_ = Isa::baseline;
};

void append(std::vector<unsigned char>& bytes, const void* data, std::size_t size) {
    const auto* first = static_cast<const unsigned char*>(data);
    bytes.insert(bytes.end(), first, first + size);
}

template <class T>
void append(std::vector<unsigned char>& bytes, const std::vector<T>& values) {
    append(bytes, values.data(), values.size() * sizeof(T));
}

// Everything that one picture's maps become, stage by stage, as bytes.
std::vector<unsigned char> decoded(const Picture& picture, Assignment assignment) {
    DecodeOptions options;
    options.assignment = assignment;
    const MapView heat = picture.heat.view();
    const MapView paf = picture.paf.view();
    Decoder decoder;
    const People& people =
        decoder.decode(heat, paf, coco_18(), Placement::network(8, heat), options);
    std::vector<unsigned char> bytes;
    append(bytes, decoder.peaks().all);
    for (const auto& pairs : decoder.connections()) append(bytes, pairs);
    append(bytes, people.keypoints);
    append(bytes, people.scores);
    append(bytes, people.filled);

    // The same cells as halves, whatever numbers that makes of them.
    std::vector<float16> halves[2];
    for (int i = 0; i < 2; ++i) {
        const MapView& maps = i == 0 ? heat : paf;
        for (int c = 0; c < maps.channels(); ++c) {
            for (int y = 0; y < maps.height(); ++y) {
                for (int x = 0; x < maps.width(); ++x) {
                    std::uint32_t bits = 0;
                    const float scaled = maps.at(c, y, x) * 0x1p-112F;
                    std::memcpy(&bits, &scaled, sizeof bits);
                    halves[i].push_back(
                        static_cast<float16>((bits >> 16 & 0x8000U) | (bits >> 13 & 0x7fffU)));
                }
            }
        }
    }
    const MapView half_heat(halves[0], heat.channels(), heat.height(), heat.width());
    const MapView half_paf(halves[1], paf.channels(), paf.height(), paf.width());
    const People& again =
        decoder.decode(half_heat, half_paf, coco_18(), Placement::network(8, heat), options);
    append(bytes, again.keypoints);

    Pass pass;
    pass.maps = heat;
    pass.scale_x = 0.77;
    pass.shift_y = 0.31;
    for (int c = 0; c < 19; ++c) pass.channel.push_back(c);
    pass.sign.assign(19, -1);
    std::vector<float> merged(19 * 30 * 41);
    merge({pass, pass}, 19, 30, 41, merged);
    append(bytes, merged);

    const auto result =
        reference::decode(heat.as<float>(), paf.as<float>(), coco_18(), DecodeOptions::reference());
    append(bytes, result.subset);
    for (const auto& one : result.candidates.all) append(bytes, &one.score, sizeof one.score);
    return bytes;
}

TEST_F(Clones, GiveTheSameBits) {
    std::mt19937 random(5);
    for (int trial = 0; trial < 24; ++trial) {
        // Every width has another rest behind whole vectors.
        const auto height = static_cast<int>(3 + random() % 44);
        const auto width = static_cast<int>(1 + random() % 90);
        Picture picture(height, width);
        for (int person = 0; person < 6; ++person) {
            picture.draw(static_cast<float>(random() % width), static_cast<float>(random() % 12),
                         12.0f + static_cast<float>(random() % 20));
        }
        std::uniform_real_distribution<float> uniform(-1, 1);
        const float noise = trial % 3 == 0 ? 1.0f : 0.03f;
        for (Canvas* maps : {&picture.heat, &picture.paf}) {
            for (float& cell : maps->cells()) cell += noise * uniform(random);
        }
        for (const Assignment assignment : {Assignment::greedy, Assignment::hungarian}) {
            use_isa(Isa::baseline);
            const auto expected = decoded(picture, assignment);
            for (const Isa one : supported()) {
                use_isa(one);
                EXPECT_EQ(decoded(picture, assignment), expected)
                    << "isa " << static_cast<int>(one) << ", " << height << " x " << width;
            }
        }
    }
}

TEST_F(Clones, ThatTheProcessorCannotRunAreRefused) {
    for (const Isa one : {Isa::avx2, Isa::avx512}) {
        if (is_supported(one)) continue;
        EXPECT_THROW(use_isa(one), std::invalid_argument);
    }
    EXPECT_TRUE(is_supported(Isa::baseline));
}

}  // namespace
}  // namespace openpose_ext
