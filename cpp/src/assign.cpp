#include "openpose_ext/assign.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "clones.hpp"
#include "digits.hpp"
#include "stages.hpp"

namespace openpose_ext {

namespace {

bool better(const Connection& one, const Connection& other) {
    if (one.score != other.score) return one.score > other.score;
    if (one.a != other.a) return one.a < other.a;
    return one.b < other.b;
}

bool in_order(const Connection& one, const Connection& other) {
    return one.a != other.a ? one.a < other.a : one.b < other.b;
}

// Sorts pairs that are ordered by a, then b: best score first, of equal ones in their old order.
// Hostile maps have tens of thousands.
void sort_by_score(AssignScratch& scratch, std::vector<Connection>& connections) {
    if (connections.size() < kFewToSort) {
        std::sort(
            connections.begin(), connections.end(),
            [](const Connection& one, const Connection& other) { return better(one, other); });
        return;
    }
    // Positive floats are ordered as their bits.
    sort_by_digits(connections, scratch.sorted, scratch.places, [](const Connection& pair) {
        return ~std::bit_cast<std::uint32_t>(pair.score);
    });
}

int root(std::vector<int>& parent, int node) {
    while (parent[node] != node) node = parent[node] = parent[parent[node]];
    return node;
}

// The best matching of one group of pairs that share peaks, appended to `chosen`. `rank` counts
// each peak within its group, rows and columns are how many peaks a and b the group has.
void match_group(const Connection* pairs, int count, int rows, int columns, const int* rank_a,
                 const int* rank_b, AssignScratch& scratch, std::vector<Connection>& chosen) {
    if (count == 1) {
        chosen.push_back(pairs[0]);
        return;
    }
    // Rows are the smaller side: the cost grows with their square. A cell without a pair costs
    // nothing and stands for "stays alone", so that a bad pair is never forced.
    const bool swapped = rows > columns;
    if (swapped) std::swap(rows, columns);
    scratch.cost.assign(static_cast<std::size_t>(rows) * columns, 0.0);
    scratch.order.assign(static_cast<std::size_t>(rows) * columns, -1);
    for (int i = 0; i < count; ++i) {
        const int ia = rank_a[pairs[i].a];
        const int ib = rank_b[pairs[i].b];
        const int cell = swapped ? ib * columns + ia : ia * columns + ib;
        scratch.cost[cell] = -static_cast<double>(pairs[i].score);
        scratch.order[cell] = i;
    }
    unchecked::solve_assignment(scratch.cost.data(), rows, columns, scratch, scratch.column_of);
    for (int row = 0; row < rows; ++row) {
        const int pair = scratch.order[row * columns + scratch.column_of[row]];
        if (pair >= 0) chosen.push_back(pairs[pair]);
    }
}

// Columns of a block. Compilers unroll shorter loops instead of vectorising them.
constexpr int kLanes = 32;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Prices the ways to all columns through one row: takes those that are shorter than what is known,
// and returns the shortest of all to columns that are not done. `blocked` is 0, or infinite for
// columns that are done; `open` becomes the sum of it and `distance`. `columns` is a multiple of
// kLanes, no two arrays overlap.
OPENPOSE_EXT_BODY
double price_row_body(const double* __restrict costs, double shortest, double u,
                      const double* __restrict v, const double* __restrict blocked, double row,
                      int columns, double* __restrict distance, double* __restrict previous,
                      double* __restrict open) {
    for (int i = 0; i < columns; ++i) {
        const double through = shortest + costs[i] - u - v[i] + blocked[i];
        const double before = distance[i];
        distance[i] = through < before ? through : before;
        previous[i] = through < before ? row : previous[i];
        open[i] = (through < before ? through : before) + blocked[i];
    }
    double least[kLanes];
    for (int i = 0; i < kLanes; ++i) least[i] = open[i];
    for (int column = kLanes; column < columns; column += kLanes) {
        for (int i = 0; i < kLanes; ++i) {
            least[i] = open[column + i] < least[i] ? open[column + i] : least[i];
        }
    }
    return *std::min_element(least, least + kLanes);
}
OPENPOSE_EXT_CLONES(double, price_row,
                    (const double* costs, double shortest, double u, const double* v,
                     const double* blocked, double row, int columns, double* distance,
                     double* previous, double* open),
                    (costs, shortest, u, v, blocked, row, columns, distance, previous, open))

// The column to go on to: of the equally near ones the first free one, or else the first.
OPENPOSE_EXT_BODY
int find_next_body(double shortest, const double* open, const int* row_of, int columns) {
    int next = -1;
    for (int column = 0; column < columns; column += kLanes) {
        int any = 0;
        for (int i = 0; i < kLanes; ++i) any |= static_cast<int>(open[column + i] == shortest);
        if (any == 0) continue;
        for (int i = column; i < column + kLanes; ++i) {
            if (open[i] != shortest) continue;
            if (row_of[i] < 0) return i;
            if (next < 0) next = i;
        }
    }
    return next;
}
OPENPOSE_EXT_CLONES(int, find_next,
                    (double shortest, const double* open, const int* row_of, int columns),
                    (shortest, open, row_of, columns))

}  // namespace

namespace unchecked {

void assign_greedy(int count_a, int count_b, AssignScratch& scratch,
                   std::vector<Connection>& connections) {
    sort_by_score(scratch, connections);
    scratch.used.assign(count_a + count_b, 0);
    const auto most = static_cast<std::size_t>(std::min(count_a, count_b));
    std::size_t kept = 0;
    for (const Connection& pair : connections) {
        char& used_a = scratch.used[pair.a];
        char& used_b = scratch.used[count_a + pair.b];
        if (used_a != 0 || used_b != 0) continue;
        used_a = used_b = 1;
        connections[kept++] = pair;
        if (kept == most) break;
    }
    connections.resize(kept);
}

void assign_hungarian(int count_a, int count_b, AssignScratch& scratch,
                      std::vector<Connection>& connections) {
    if (connections.size() < 2) return;
    // Pairs that share no peak, even by way of others, do not compete: the optimum of the whole is
    // that of its groups, which are small even in crowds.
    std::vector<int>& parent = scratch.component;
    const int peaks = count_a + count_b;
    parent.resize(peaks);
    std::iota(parent.begin(), parent.end(), 0);
    for (const Connection& pair : connections) {
        parent[root(parent, pair.a)] = root(parent, count_a + pair.b);
    }
    // Each group's peaks are counted from 0, its pairs brought together.
    scratch.rows.assign(peaks, 0);
    scratch.columns.assign(peaks, 0);
    scratch.first.assign(peaks + 1, 0);
    scratch.rank.resize(peaks);
    for (int peak = 0; peak < peaks; ++peak) {
        std::vector<int>& side = peak < count_a ? scratch.rows : scratch.columns;
        scratch.rank[peak] = side[root(parent, peak)]++;
    }
    for (const Connection& pair : connections) ++scratch.first[root(parent, pair.a) + 1];
    std::partial_sum(scratch.first.begin(), scratch.first.end(), scratch.first.begin());
    scratch.sorted.resize(connections.size());
    scratch.next.assign(scratch.first.begin(), scratch.first.end());
    for (const Connection& pair : connections) {
        scratch.sorted[scratch.next[root(parent, pair.a)]++] = pair;
    }
    scratch.chosen.clear();
    for (int group = 0; group < peaks; ++group) {
        const int first = scratch.first[group];
        const int count = scratch.first[group + 1] - first;
        if (count == 0) continue;
        match_group(&scratch.sorted[first], count, scratch.rows[group], scratch.columns[group],
                    scratch.rank.data(), scratch.rank.data() + count_a, scratch, scratch.chosen);
    }
    connections.assign(scratch.chosen.begin(), scratch.chosen.end());
    std::sort(connections.begin(), connections.end(), better);
}

template <class T>
void connect(const Maps<T>& paf, const Topology& topology, const Peaks& peaks,
             const DecodeOptions& options, ConnectScratch& scratch,
             std::vector<std::vector<Connection>>& connections) {
    const auto assign = options.assignment == Assignment::greedy ? assign_greedy : assign_hungarian;
    connections.resize(topology.limbs.size());
    for (std::size_t l = 0; l < topology.limbs.size(); ++l) {
        const Limb& limb = topology.limbs[l];
        connections[l].clear();
        if (!limb.has_field()) continue;
        // Hostile maps accept thousands of pairs, so only the chosen ones are copied.
        score_limb(paf, limb, peaks, options, scratch.limb, scratch.pairs);
        assign(peaks.count(limb.a), peaks.count(limb.b), scratch.assign, scratch.pairs);
        connections[l].assign(scratch.pairs.begin(), scratch.pairs.end());
    }
}
template void connect(const Maps<float>&, const Topology&, const Peaks&, const DecodeOptions&,
                      ConnectScratch&, std::vector<std::vector<Connection>>&);
template void connect(const Maps<float16>&, const Topology&, const Peaks&, const DecodeOptions&,
                      ConnectScratch&, std::vector<std::vector<Connection>>&);

void solve_assignment(const double* cost, int rows, int columns, AssignScratch& scratch,
                      std::vector<int>& column_of) {
    const int padded = (columns + kLanes - 1) / kLanes * kLanes;
    scratch.u.assign(rows, 0.0);
    scratch.v.assign(padded, 0.0);
    scratch.row_of.assign(padded, -1);
    scratch.costs.assign(padded, 0.0);
    column_of.assign(rows, -1);
    for (int start = 0; start < rows; ++start) {
        // The shortest path, in reduced costs, from the row to a free column.
        scratch.distance.assign(padded, kInfinity);
        scratch.previous.assign(padded, -1.0);
        scratch.open.resize(padded);
        scratch.blocked.assign(padded, 0.0);
        std::fill(scratch.blocked.begin() + columns, scratch.blocked.end(), kInfinity);
        double shortest = 0;
        int row = start;
        int end = -1;
        while (end < 0) {
            const double* costs = cost + static_cast<std::ptrdiff_t>(row) * columns;
            if (padded > columns) {
                std::copy_n(costs, columns, scratch.costs.begin());
                costs = scratch.costs.data();
            }
            shortest = price_row(costs, shortest, scratch.u[row], scratch.v.data(),
                                 scratch.blocked.data(), row, padded, scratch.distance.data(),
                                 scratch.previous.data(), scratch.open.data());
            const int next =
                find_next(shortest, scratch.open.data(), scratch.row_of.data(), padded);
            scratch.blocked[next] = kInfinity;
            if (scratch.row_of[next] < 0) {
                end = next;
            } else {
                row = scratch.row_of[next];
            }
        }
        // Dual update, then flip the path.
        scratch.u[start] += shortest;
        for (int column = 0; column < columns; ++column) {
            if (scratch.blocked[column] == 0) continue;
            const double slack = shortest - scratch.distance[column];
            scratch.v[column] -= slack;
            if (scratch.row_of[column] >= 0) scratch.u[scratch.row_of[column]] += slack;
        }
        for (int column = end; column >= 0;) {
            const int owner = static_cast<int>(scratch.previous[column]);
            scratch.row_of[column] = owner;
            std::swap(column_of[owner], column);
        }
    }
}

}  // namespace unchecked

void assign_greedy(int count_a, int count_b, Workspace& workspace,
                   std::vector<Connection>& connections) {
    check_pairs(count_a, count_b, connections);
    if (!std::is_sorted(connections.begin(), connections.end(), in_order)) {
        std::sort(connections.begin(), connections.end(), in_order);
    }
    unchecked::assign_greedy(count_a, count_b, workspace.memory().connect.assign, connections);
}

void assign_hungarian(int count_a, int count_b, Workspace& workspace,
                      std::vector<Connection>& connections) {
    check_pairs(count_a, count_b, connections);
    if (!std::is_sorted(connections.begin(), connections.end(), in_order)) {
        std::sort(connections.begin(), connections.end(), in_order);
    }
    unchecked::assign_hungarian(count_a, count_b, workspace.memory().connect.assign, connections);
}

void connect(const MapView& paf, const Topology& topology, const Peaks& peaks,
             const DecodeOptions& options, Workspace& workspace,
             std::vector<std::vector<Connection>>& connections) {
    topology.check();
    options.check();
    check_view(paf, "paf", topology.paf_channels());
    peaks.check(topology.parts, paf.height(), paf.width());
    paf.visit([&](const auto& maps) {
        unchecked::connect(maps, topology, peaks, options, workspace.memory().connect, connections);
    });
}

void solve_assignment(std::span<const double> cost, int rows, int columns, Workspace& workspace,
                      std::vector<int>& column_of) {
    constexpr double kLargest = 1e100;
    if (rows < 0 || rows > columns || cost.size() / std::max(columns, 1) != std::size_t(rows) ||
        cost.size() != static_cast<std::size_t>(rows) * columns) {
        throw std::invalid_argument("cost has " + std::to_string(cost.size()) +
                                    " values; it must be rows x columns, here " +
                                    std::to_string(rows) + " x " + std::to_string(columns) +
                                    ", with no more rows than columns");
    }
    for (const double value : cost) {
        if (std::abs(value) <= kLargest) continue;  // NaN is not
        throw std::invalid_argument("cost must be finite and within 1e100, not " +
                                    std::to_string(value));
    }
    unchecked::solve_assignment(cost.data(), rows, columns, workspace.memory().connect.assign,
                                column_of);
}

}  // namespace openpose_ext
