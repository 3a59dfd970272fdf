// What the stages say to input that no earlier stage would give them.
#include "openpose_ext/stages.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "canvas.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;
using testing::chain;
using testing::peaks_of;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string complaint_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "";
}

class Stages : public ::testing::Test {
protected:
    void expect(const std::string& part, const std::function<void()>& call) {
        const std::string complaint = complaint_of(call);
        EXPECT_NE(complaint.find(part), std::string::npos) << '"' << complaint << '"';
    }

    Workspace workspace_;
    Canvas heat_{3, 9, 12};
    Canvas paf_{4, 9, 12};
    Topology topology_ = chain(3);
    Peaks peaks_ = peaks_of({{{2, 3, 1}}, {{5, 3, 1}, {6, 6, 1}}, {{9, 3, 1}}});
    DecodeOptions options_;
    std::vector<Connection> pairs_;
    std::vector<std::vector<Connection>> connections_;
    Assembly assembly_;
    Filled filled_;
};

TEST_F(Stages, PeaksNeedMapsOfAllParts) {
    Peaks found;
    expect("heat has 3 channels; at least 4",
           [&] { find_peaks(heat_.view(), 4, options_, workspace_, found); });
    expect("parts must be at least 1",
           [&] { find_peaks(heat_.view(), 0, options_, workspace_, found); });
    const MapView interleaved(heat_.cells(), 3, 9, 12, Layout::interleaved);
    expect("pack() it first", [&] { find_peaks(interleaved, 3, options_, workspace_, found); });
    expect("no cells", [&] { find_peaks(MapView(), 1, options_, workspace_, found); });
    options_.peak_threshold = 2;
    expect("peak_threshold", [&] { find_peaks(heat_.view(), 3, options_, workspace_, found); });
}

TEST_F(Stages, RefineNeedsACell) {
    expect("no cell (0, 9, 0)", [&] { (void)refine(heat_.view(), 0, 9, 0); });
    expect("no cell (3, 0, 0)", [&] { (void)refine(heat_.view(), 3, 0, 0); });
    expect("no cell (0, 0, -1)", [&] { (void)refine(heat_.view(), 0, 0, -1); });
}

TEST_F(Stages, LimbsNeedTheirPartsAndChannels) {
    const auto score = [&](const Limb& limb) {
        return [&, limb] { score_limb(paf_.view(), limb, peaks_, options_, workspace_, pairs_); };
    };
    EXPECT_NO_THROW(score({0, 1, 0, 1})());
    expect("limb (0, 3)", score({0, 3, 0, 1}));
    expect("limb (1, 1)", score({1, 1, 0, 1}));
    expect("paf has 4 channels; at least 5", score({0, 1, 0, 4}));
    expect("has no field", score({0, 1, -1, -1}));
}

TEST_F(Stages, LimbsNeedPeaksInsideTheMaps) {
    const auto score = [&](const Peaks& peaks) {
        return [&, peaks] {
            score_limb(paf_.view(), topology_.limbs[0], peaks, options_, workspace_, pairs_);
        };
    };
    for (const Peak& wrong :
         {Peak{-1, 3, 1}, Peak{12, 3, 1}, Peak{2, 8.6f, 1}, Peak{static_cast<float>(kNan), 3, 1},
          Peak{2, 3, static_cast<float>(kNan)}}) {
        expect("does not lie in maps of 9 x 12", score(peaks_of({{{2, 3, 1}}, {wrong}})));
    }
    Peaks crooked = peaks_;
    crooked.begin[1] = 7;
    expect("begin of the peaks", score(crooked));
    crooked.begin = {0, 1, 3, 5};
    expect("begin of the peaks", score(crooked));
    expect("does not join two of 0 parts", score(Peaks{{}, {0}}));
    expect("begin of the peaks",
           [&] { connect(paf_.view(), topology_, Peaks{}, options_, workspace_, connections_); });
    expect("does not lie", [&] {
        (void)integrate(paf_.view(), topology_.limbs[0], {2, 3, 1}, {99, 3, 1}, 0.1f, workspace_);
    });
}

TEST_F(Stages, AssignmentsNeedPairsThatExistAndCount) {
    for (const Connection& wrong :
         {Connection{-1, 0, 1}, Connection{2, 0, 1}, Connection{0, 3, 1}, Connection{0, -1, 1},
          Connection{0, 0, 0}, Connection{0, 0, static_cast<float>(kNan)},
          Connection{0, 0, std::numeric_limits<float>::infinity()}}) {
        for (const auto assign : {assign_greedy, assign_hungarian}) {
            pairs_ = {{0, 0, 0.5f}, wrong};
            expect("does not join one of 2 peaks to one of 3",
                   [&] { assign(2, 3, workspace_, pairs_); });
        }
    }
}

TEST_F(Stages, CostsMustBeNumbersThatCanBeAdded) {
    std::vector<int> column_of;
    const std::vector<double> fine{1, 2, 3, 4, 5, 6};
    const auto solve = [&](const std::vector<double>& cost, int rows, int columns) {
        return [&, cost, rows, columns] {
            solve_assignment(cost, rows, columns, workspace_, column_of);
        };
    };
    EXPECT_NO_THROW(solve(fine, 2, 3)());
    EXPECT_NO_THROW(solve({}, 0, 3)());
    for (const double wrong : {kNan, std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity(), 2e100, -1e300}) {
        for (std::size_t cell = 0; cell < fine.size(); ++cell) {
            std::vector<double> cost = fine;
            cost[cell] = wrong;
            expect("finite and within 1e100", solve(cost, 2, 3));
        }
    }
    expect("6 values", solve(fine, 3, 2));
    expect("6 values", solve(fine, 2, 4));
    expect("6 values", solve(fine, -2, -3));
    expect("0 values", solve({}, 1, 0));
}

TEST_F(Stages, PeopleNeedConnectionsOfEveryLimb) {
    expect("connections of 1 limbs; the topology has 2",
           [&] { assemble(peaks_, topology_, {{}}, options_, workspace_, assembly_); });
    expect("does not join", [&] {
        assemble(peaks_, topology_, {{{0, 2, 1}}, {}}, options_, workspace_, assembly_);
    });
    EXPECT_NO_THROW(
        assemble(peaks_, topology_, {{{0, 1, 1}}, {}}, options_, workspace_, assembly_));
}

TEST_F(Stages, FillingNeedsPeopleOfThosePeaks) {
    const auto run = [&](const Assembly& assembly) {
        return [&, assembly] {
            fill(heat_.view(), paf_.view(), peaks_, topology_, assembly, workspace_, filled_);
        };
    };
    const Assembly good{1, 3, {0, 1, -1}, {3}, {2}, {0}};
    EXPECT_NO_THROW(run(good)());
    Assembly wrong = good;
    wrong.peak[1] = 4;
    expect("has peak 4 of 4", run(wrong));
    wrong = good;
    wrong.people = 2;
    expect("2 people", run(wrong));
    wrong = good;
    wrong.parts = 2;
    expect("3 parts are needed", run(wrong));
    const Canvas small(3, 8, 12);
    expect("heat is 8 x 12 cells but paf is 9 x 12",
           [&] { fill(small.view(), paf_.view(), peaks_, topology_, good, workspace_, filled_); });
}

TEST_F(Stages, OfAHandJoinNothing) {
    const Topology& hand = hand_21();
    std::vector<std::vector<Peak>> parts(21, {{4, 4, 1}});
    connect(MapView(paf_.cells(), 4, 9, 12), hand, peaks_of(parts), options_, workspace_,
            connections_);
    ASSERT_EQ(connections_.size(), 20U);
    for (const auto& pairs : connections_) EXPECT_TRUE(pairs.empty());
}

}  // namespace
}  // namespace openpose_ext
