// Assignment under libFuzzer: any pairs, any costs. Refused with std::invalid_argument alone, or
// matchings that are sound, greedy ones as a plain loop finds them, optimal ones no worse than
// those and than every exchange of two.
#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

#include "choices.hpp"
#include "openpose_ext/assign.hpp"

using namespace openpose_ext;
using namespace openpose_ext::fuzz;

namespace {

double total(const std::vector<Connection>& pairs) {
    double sum = 0;
    for (const Connection& pair : pairs) sum += pair.score;
    return sum;
}

void check(const std::vector<Connection>& chosen, const std::vector<Connection>& offered) {
    std::set<int> a;
    std::set<int> b;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        require(a.insert(chosen[i].a).second && b.insert(chosen[i].b).second, "a peak twice");
        require(i == 0 || chosen[i - 1].score >= chosen[i].score, "order");
        require(std::any_of(offered.begin(), offered.end(),
                            [&](const Connection& one) {
                                return one.a == chosen[i].a && one.b == chosen[i].b &&
                                       one.score == chosen[i].score;
                            }),
                "a pair that was not offered");
    }
}

std::vector<Connection> plain_greedy(std::vector<Connection> pairs) {
    std::sort(pairs.begin(), pairs.end(), [](const Connection& one, const Connection& other) {
        if (one.score != other.score) return one.score > other.score;
        return one.a != other.a ? one.a < other.a : one.b < other.b;
    });
    std::set<int> a;
    std::set<int> b;
    std::vector<Connection> chosen;
    for (const Connection& pair : pairs) {
        if (a.count(pair.a) != 0 || b.count(pair.b) != 0) continue;
        a.insert(pair.a);
        b.insert(pair.b);
        chosen.push_back(pair);
    }
    return chosen;
}

void match(Choices& choices, Workspace& workspace) {
    const int count_a = choices.number(0, 20);
    const int count_b = choices.number(0, 20);
    // A seed of a byte or two makes more pairs than the input has bytes: scores are sorted in
    // another way where there are many.
    const int many = choices.byte() * 2;
    std::uint32_t state = choices.byte() + 1U;
    std::set<std::pair<int, int>> seen;
    std::vector<Connection> offered;
    const auto add = [&](int a, int b, float score) {
        if (seen.insert({a, b}).second) offered.push_back({a, b, score});
    };
    while (!choices.done() && offered.size() < 64) {
        add(choices.number(-1, 20), choices.number(-1, 20), choose_value(choices));
    }
    for (int i = 0; i < many && count_a > 0 && count_b > 0; ++i) {
        state = state * 1664525U + 1013904223U;
        add(static_cast<int>(state >> 8) % count_a, static_cast<int>(state >> 16) % count_b,
            static_cast<float>(1 + (state >> 24)) / 64);
    }
    std::vector<Connection> greedy = offered;
    assign_greedy(count_a, count_b, workspace, greedy);
    check(greedy, offered);
    const std::vector<Connection> expected = plain_greedy(offered);
    require(greedy.size() == expected.size(), "greedy");
    for (std::size_t i = 0; i < greedy.size(); ++i) {
        require(greedy[i].a == expected[i].a && greedy[i].b == expected[i].b, "greedy pair");
    }
    std::vector<Connection> best = offered;
    assign_hungarian(count_a, count_b, workspace, best);
    check(best, offered);
    require(total(best) >= total(greedy) * (1 - 1e-6), "worse than greedy");
}

void solve(Choices& choices, Workspace& workspace) {
    const int rows = choices.number(0, 9);
    const int columns = choices.number(0, 40);
    const int given = choices.byte() == 255 ? choices.byte() : rows * columns;
    std::vector<double> cost;
    for (int i = 0; i < given; ++i) cost.push_back(static_cast<double>(choose_value(choices)));
    std::vector<int> column_of;
    solve_assignment(cost, rows, columns, workspace, column_of);
    require(static_cast<int>(column_of.size()) == rows, "rows");
    const auto at = [&](int row, int column) { return cost[row * columns + column]; };
    std::set<int> used(column_of.begin(), column_of.end());
    require(static_cast<int>(used.size()) == rows, "a column twice");
    require(rows == 0 || (*used.begin() >= 0 && *used.rbegin() < columns), "column");
    double largest = 1;
    for (const double one : cost) largest = std::max(largest, std::abs(one));
    const double slack = 1e-9 * largest * std::max(rows, 1);
    for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns; ++column) {
            require(used.count(column) != 0 || at(row, column_of[row]) <= at(row, column) + slack,
                    "a free column is better");
        }
        for (int other = 0; other < row; ++other) {
            const double now = at(row, column_of[row]) + at(other, column_of[other]);
            const double exchanged = at(row, column_of[other]) + at(other, column_of[row]);
            require(now <= exchanged + slack, "an exchange is better");
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Workspace workspace;  // reused, as programs do
    Choices choices(data, size);
    try {
        if (choices.byte() % 2 == 0) {
            match(choices, workspace);
        } else {
            solve(choices, workspace);
        }
    } catch (const std::invalid_argument&) {
        return 0;
    }
    return 0;
}
