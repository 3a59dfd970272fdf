#include "openpose_ext/assign.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "canvas.hpp"
#include "memory.hpp"

namespace openpose_ext {
namespace {

using Pairs = std::vector<Connection>;
using testing::Canvas;
using testing::chain;
using testing::peaks_of;

Pairs greedy(int count_a, int count_b, Pairs pairs) {
    Workspace workspace;
    assign_greedy(count_a, count_b, workspace, pairs);
    return pairs;
}

Pairs hungarian(int count_a, int count_b, Pairs pairs) {
    Workspace workspace;
    assign_hungarian(count_a, count_b, workspace, pairs);
    return pairs;
}

double total(const Pairs& pairs) {
    return std::accumulate(pairs.begin(), pairs.end(), 0.0,
                           [](double sum, const Connection& pair) { return sum + pair.score; });
}

void expect_pairs(const Pairs& found, const Pairs& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].a, expected[i].a) << i;
        EXPECT_EQ(found[i].b, expected[i].b) << i;
        EXPECT_EQ(found[i].score, expected[i].score) << i;
    }
}

// Chosen out of `pairs`, each peak once, by falling score.
void expect_matching(const Pairs& chosen, const Pairs& pairs) {
    std::set<int> a;
    std::set<int> b;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        EXPECT_TRUE(a.insert(chosen[i].a).second) << "a " << chosen[i].a << " twice";
        EXPECT_TRUE(b.insert(chosen[i].b).second) << "b " << chosen[i].b << " twice";
        EXPECT_TRUE(i == 0 || chosen[i - 1].score >= chosen[i].score);
        EXPECT_TRUE(std::any_of(pairs.begin(), pairs.end(), [&](const Connection& pair) {
            return pair.a == chosen[i].a && pair.b == chosen[i].b && pair.score == chosen[i].score;
        }));
    }
}

// The largest sum of scores of any matching, by trying all.
double best_total(const Pairs& pairs, std::size_t first = 0, unsigned used_a = 0,
                  unsigned used_b = 0) {
    if (first == pairs.size()) return 0;
    const Connection& pair = pairs[first];
    double best = best_total(pairs, first + 1, used_a, used_b);
    const unsigned a = 1U << pair.a;
    const unsigned b = 1U << pair.b;
    if ((used_a & a) == 0 && (used_b & b) == 0) {
        best = std::max(best, pair.score + best_total(pairs, first + 1, used_a | a, used_b | b));
    }
    return best;
}

Pairs random_pairs(std::mt19937& random, int count_a, int count_b, double density, bool with_ties) {
    std::uniform_real_distribution<float> uniform(0.01f, 1);
    Pairs pairs;
    for (int a = 0; a < count_a; ++a) {
        for (int b = 0; b < count_b; ++b) {
            if (uniform(random) > density) continue;
            const float score = uniform(random);
            pairs.push_back({a, b, with_ties ? std::ceil(4 * score) / 4 : score});
        }
    }
    return pairs;
}

TEST(Greedy, TakesTheBestPairFirstAndEachPeakOnce) {
    expect_pairs(greedy(2, 3, {{0, 0, .5f}, {0, 1, .9f}, {1, 1, .8f}, {1, 2, .2f}}),
                 {{0, 1, .9f}, {1, 2, .2f}});
}

TEST(Greedy, TakesTheLowerAThenTheLowerBOfEqualScores) {
    expect_pairs(greedy(2, 2, {{1, 1, .5f}, {1, 0, .5f}, {0, 1, .5f}, {0, 0, .5f}}),
                 {{0, 0, .5f}, {1, 1, .5f}});
    expect_pairs(greedy(2, 2, {{1, 0, .5f}, {0, 1, .5f}, {1, 1, .5f}}), {{0, 1, .5f}, {1, 0, .5f}});
}

TEST(Greedy, OfNothingIsNothing) {
    EXPECT_TRUE(greedy(0, 0, {}).empty());
    EXPECT_TRUE(greedy(3, 2, {}).empty());
}

TEST(Hungarian, OfNothingOrOnePairIsThat) {
    EXPECT_TRUE(hungarian(0, 0, {}).empty());
    expect_pairs(hungarian(3, 2, {{2, 1, .4f}}), {{2, 1, .4f}});
}

TEST(Hungarian, BeatsTheGreedyChoiceWhereTheBestPairBlocksTwoGoodOnes) {
    const Pairs pairs{{0, 0, .9f}, {0, 1, .8f}, {1, 0, .7f}};
    expect_pairs(greedy(2, 2, pairs), {{0, 0, .9f}});
    expect_pairs(hungarian(2, 2, pairs), {{0, 1, .8f}, {1, 0, .7f}});
}

TEST(Hungarian, LeavesAPeakAloneRatherThanPairItBadly) {
    // Pairing both would force 0.1 + 0.1.
    expect_pairs(hungarian(2, 2, {{0, 0, .9f}, {0, 1, .1f}, {1, 0, .1f}}), {{0, 0, .9f}});
}

TEST(Hungarian, HasTheLargestSumOfAllMatchings) {
    std::mt19937 random(3);
    int beats_greedy = 0;
    for (int trial = 0; trial < 2000; ++trial) {
        const auto count_a = static_cast<int>(1 + random() % 5);
        const auto count_b = static_cast<int>(1 + random() % 5);
        const double density = 0.2 + 0.2 * static_cast<double>(random() % 4);
        const Pairs pairs = random_pairs(random, count_a, count_b, density, trial % 2 == 0);
        const Pairs chosen = hungarian(count_a, count_b, pairs);
        expect_matching(chosen, pairs);
        EXPECT_NEAR(total(chosen), best_total(pairs), 1e-6);
        const Pairs quick = greedy(count_a, count_b, pairs);
        expect_matching(quick, pairs);
        beats_greedy += static_cast<int>(total(chosen) > total(quick) + 1e-6);
    }
    EXPECT_GT(beats_greedy, 100);
}

TEST(Hungarian, OfACrowdIsAMatchingNoWorseThanTheGreedyOne) {
    std::mt19937 random(4);
    for (const double density : {0.02, 0.1, 1.0}) {
        const Pairs pairs = random_pairs(random, 60, 80, density, false);
        const Pairs chosen = hungarian(60, 80, pairs);
        const Pairs quick = greedy(60, 80, pairs);
        expect_matching(chosen, pairs);
        expect_matching(quick, pairs);
        EXPECT_GE(total(chosen), total(quick) - 1e-6);
    }
}

TEST(Hungarian, DoesNotDependOnTheOrderOfThePairs) {
    std::mt19937 random(5);
    Pairs pairs = random_pairs(random, 20, 15, 0.4, false);
    const Pairs expected = hungarian(20, 15, pairs);
    std::shuffle(pairs.begin(), pairs.end(), random);
    expect_pairs(hungarian(20, 15, pairs), expected);
}

// The least cost of giving each row a column of its own, by trying all.
double least_cost(const std::vector<double>& cost, int rows, int columns, int row = 0,
                  unsigned used = 0) {
    if (row == rows) return 0;
    double least = 1e300;
    for (int column = 0; column < columns; ++column) {
        if ((used >> column & 1U) != 0) continue;
        least = std::min(least, cost[row * columns + column] +
                                    least_cost(cost, rows, columns, row + 1, used | 1U << column));
    }
    return least;
}

double cost_of(const std::vector<double>& cost, int columns, const std::vector<int>& column_of) {
    double sum = 0;
    for (std::size_t row = 0; row < column_of.size(); ++row) {
        sum += cost[row * columns + column_of[row]];
    }
    return sum;
}

TEST(Assignment, EqualsBruteForceOnRectangularCosts) {
    std::mt19937 random(6);
    std::uniform_real_distribution<double> uniform(-10, 10);
    Workspace workspace;  // reused, as the decoder does
    std::vector<int> column_of;
    for (int trial = 0; trial < 600; ++trial) {
        const auto columns = static_cast<int>(1 + random() % 6);
        const auto rows = static_cast<int>(1 + random() % columns);
        std::vector<double> cost(static_cast<std::size_t>(rows) * columns);
        // Every other trial in whole numbers, full of ties.
        for (double& c : cost)
            c = trial % 2 == 0 ? uniform(random) : std::floor(uniform(random) / 4);
        solve_assignment(cost, rows, columns, workspace, column_of);
        ASSERT_EQ(static_cast<int>(column_of.size()), rows);
        const std::set<int> used(column_of.begin(), column_of.end());
        EXPECT_EQ(static_cast<int>(used.size()), rows) << "a column twice";
        EXPECT_TRUE(*used.begin() >= 0 && *used.rbegin() < columns);
        EXPECT_NEAR(cost_of(cost, columns, column_of), least_cost(cost, rows, columns), 1e-9);
    }
}

TEST(Assignment, OfNoRowsIsEmpty) {
    Workspace workspace;
    std::vector<int> column_of{3, 4};
    solve_assignment({}, 0, 0, workspace, column_of);
    EXPECT_TRUE(column_of.empty());
}

// Linear programming's certificate: prices u of rows and v <= 0 of columns that no cell undercuts
// bound every assignment from below by their sum; one that reaches the bound is optimal.
TEST(Assignment, OfManyReachesTheBoundOfItsDual) {
    std::mt19937 random(7);
    std::uniform_real_distribution<double> uniform(-1, 1);
    struct Case {
        int rows, columns;
    };
    for (const auto& [rows, columns] : {Case{60, 60}, Case{40, 90}, Case{1, 200}, Case{120, 121}}) {
        for (const bool with_ties : {false, true}) {
            std::vector<double> cost(static_cast<std::size_t>(rows) * columns);
            for (double& c : cost) {
                c = with_ties ? std::round(3 * uniform(random)) : uniform(random);
            }
            Workspace workspace;
            std::vector<int> column_of;
            solve_assignment(cost, rows, columns, workspace, column_of);
            const std::set<int> used(column_of.begin(), column_of.end());
            ASSERT_EQ(static_cast<int>(used.size()), rows);
            const AssignScratch& prices = workspace.memory().connect.assign;
            double bound = 0;
            for (int row = 0; row < rows; ++row) bound += prices.u[row];
            for (int column = 0; column < columns; ++column) {
                bound += prices.v[column];
                EXPECT_LE(prices.v[column], 1e-12);
                EXPECT_TRUE(used.count(column) == 1 || prices.v[column] == 0);
                for (int row = 0; row < rows; ++row) {
                    EXPECT_LE(prices.u[row] + prices.v[column],
                              cost[row * columns + column] + 1e-9);
                }
            }
            EXPECT_NEAR(cost_of(cost, columns, column_of), bound, 1e-8);
        }
    }
}

TEST(Connect, AssignsEachLimbAsTheOptionsSay) {
    // Two upper and two lower ends; the strongest limb is a diagonal that belongs to nobody.
    const Topology topology = chain(2);
    const Peaks peaks = peaks_of({{{10, 5, 1}, {20, 5, 1}}, {{10, 15, 1}, {20, 15, 1}}});
    Canvas paf(2, 40, 40);
    const Limb& limb = topology.limbs[0];
    paf.field(limb, peaks.all[0], peaks.all[2], 0.6f);
    paf.field(limb, peaks.all[1], peaks.all[3], 0.6f);
    paf.field(limb, peaks.all[0], peaks.all[3], 0.9f);
    Workspace workspace;
    std::vector<Pairs> connections(5);  // more than there are limbs: what another skeleton left
    DecodeOptions options;
    connect(paf.view(), topology, peaks, options, workspace, connections);
    ASSERT_EQ(connections.size(), 1U);
    ASSERT_EQ(connections[0].size(), 1U) << "greedy: the diagonal blocks both";
    EXPECT_EQ(connections[0][0].a, 0);
    EXPECT_EQ(connections[0][0].b, 1);
    options.assignment = Assignment::hungarian;
    connect(paf.view(), topology, peaks, options, workspace, connections);
    ASSERT_EQ(connections[0].size(), 2U);
    for (const Connection& pair : connections[0]) EXPECT_EQ(pair.a, pair.b);
}

}  // namespace
}  // namespace openpose_ext
