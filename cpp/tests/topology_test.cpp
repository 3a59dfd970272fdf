#include "openpose_ext/topology.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "openpose_ext/options.hpp"
#include "skeletons.hpp"

namespace openpose_ext {
namespace {

using testing::chain;

std::string complaint_of(const Topology& topology) {
    try {
        topology.check();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

std::string complaint_of(const DecodeOptions& options) {
    try {
        options.check();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

TEST(Topology, HasAsManyPafChannelsAsItsLimbsRead) {
    EXPECT_EQ(coco_18().paf_channels(), 38);
    EXPECT_EQ(chain(4).paf_channels(), 6);
    EXPECT_EQ(chain(1).paf_channels(), 0);
}

TEST(Topology, MayBeASinglePartOrALongChain) {
    EXPECT_EQ(complaint_of(chain(1)), "");
    EXPECT_EQ(complaint_of(chain(70)), "");
    EXPECT_EQ(complaint_of(coco_18()), "");
}

TEST(Topology, NeedsAPart) { EXPECT_NE(complaint_of(chain(0)), ""); }

TEST(Topology, NamesTheLimbThatLeavesTheParts) {
    for (const Limb& wrong : {Limb{0, 3, 0, 1}, Limb{-1, 1, 0, 1}, Limb{1, 1, 0, 1}}) {
        Topology topology = chain(3);
        topology.limbs.push_back(wrong);
        EXPECT_NE(complaint_of(topology).find("limb 2"), std::string::npos)
            << wrong.a << " - " << wrong.b << ": " << complaint_of(topology);
    }
}

TEST(Topology, NamesTheLimbWhoseLengthIsNone) {
    for (const float wrong : {-1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
        Topology topology = chain(3);
        topology.limbs[1].length = wrong;
        EXPECT_NE(complaint_of(topology).find("limb 1 has the length"), std::string::npos) << wrong;
    }
}

TEST(Topology, NamesTheFootThatIsNoPart) {
    for (const int wrong : {-1, 3}) {
        Topology topology = chain(3);
        topology.feet = {2, wrong};
        EXPECT_EQ(complaint_of(topology), "foot " + std::to_string(wrong) + " is none of 3 parts");
    }
}

TEST(Topology, RefusesNegativeChannels) {
    Topology topology = chain(3);
    topology.limbs[1].paf_y = -1;
    EXPECT_NE(complaint_of(topology).find("limb 1"), std::string::npos);
}

TEST(Options, DefaultsAndTheSeedsConstantsAreInRange) {
    EXPECT_EQ(complaint_of(DecodeOptions{}), "");
    EXPECT_EQ(complaint_of(DecodeOptions::reference()), "");
}

TEST(Options, OutOfRangeAreNamed) {
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    struct Case {
        const char* name;
        void (*spoil)(DecodeOptions&);
    };
    const Case cases[] = {
        {"peak_threshold", [](DecodeOptions& options) { options.peak_threshold = 0; }},
        {"peak_threshold", [](DecodeOptions& options) { options.peak_threshold = 1; }},
        {"peak_threshold", [](DecodeOptions& options) { options.peak_threshold = kNan; }},
        {"paf_threshold", [](DecodeOptions& options) { options.paf_threshold = -0.1; }},
        {"paf_threshold", [](DecodeOptions& options) { options.paf_threshold = kNan; }},
        {"min_paf_share", [](DecodeOptions& options) { options.min_paf_share = 1; }},
        {"min_paf_share", [](DecodeOptions& options) { options.min_paf_share = kNan; }},
        {"min_parts", [](DecodeOptions& options) { options.min_parts = 0; }},
        {"min_score", [](DecodeOptions& options) { options.min_score = -1; }},
        {"min_score", [](DecodeOptions& options) { options.min_score = kNan; }},
        {"assignment",
         [](DecodeOptions& options) { options.assignment = static_cast<Assignment>(7); }},
        {"max_peaks", [](DecodeOptions& options) { options.max_peaks = 0; }},
        {"max_peaks", [](DecodeOptions& options) { options.max_peaks = 1 << 30; }},
        {"max_people", [](DecodeOptions& options) { options.max_people = -1; }},
    };
    for (const Case& one : cases) {
        DecodeOptions options;
        one.spoil(options);
        EXPECT_EQ(complaint_of(options).find(one.name), 0U) << one.name;
    }
}

}  // namespace
}  // namespace openpose_ext
