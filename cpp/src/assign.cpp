#include "openpose_ext/assign.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "stages.hpp"

namespace openpose_ext {

namespace {

bool better(const Connection& one, const Connection& other) {
    if (one.score != other.score) return one.score > other.score;
    if (one.a != other.a) return one.a < other.a;
    return one.b < other.b;
}

int root(std::vector<int>& parent, int node) {
    while (parent[node] != node) node = parent[node] = parent[parent[node]];
    return node;
}

// The best matching of one group of pairs that share peaks, appended to `chosen`. A column beyond
// the real ones stands for "stays alone", at no cost, so that a bad pair is never forced.
void match_group(const Connection* pairs, int count, AssignScratch& scratch,
                 std::vector<Connection>& chosen) {
    if (count == 1) {
        chosen.push_back(pairs[0]);
        return;
    }
    auto index = [](std::vector<int>& names, int name) {
        return static_cast<int>(std::lower_bound(names.begin(), names.end(), name) - names.begin());
    };
    std::vector<int>& a = scratch.a;
    std::vector<int>& b = scratch.b;
    a.clear();
    b.clear();
    for (int i = 0; i < count; ++i) {
        a.push_back(pairs[i].a);
        b.push_back(pairs[i].b);
    }
    for (std::vector<int>* names : {&a, &b}) {
        std::sort(names->begin(), names->end());
        names->erase(std::unique(names->begin(), names->end()), names->end());
    }
    // Rows are the smaller side: the cost grows with their square.
    const bool swapped = a.size() > b.size();
    const int rows = static_cast<int>(swapped ? b.size() : a.size());
    const int columns = static_cast<int>(swapped ? a.size() : b.size());
    scratch.cost.assign(static_cast<std::size_t>(rows) * columns, 0.0);
    scratch.order.assign(static_cast<std::size_t>(rows) * columns, -1);
    for (int i = 0; i < count; ++i) {
        const int ia = index(a, pairs[i].a);
        const int ib = index(b, pairs[i].b);
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

}  // namespace

namespace unchecked {

void assign_greedy(int count_a, int count_b, AssignScratch& scratch,
                   std::vector<Connection>& connections) {
    std::sort(connections.begin(), connections.end(), better);
    scratch.used.assign(count_a + count_b, 0);
    std::size_t kept = 0;
    for (const Connection& pair : connections) {
        char& used_a = scratch.used[pair.a];
        char& used_b = scratch.used[count_a + pair.b];
        if (used_a != 0 || used_b != 0) continue;
        used_a = used_b = 1;
        connections[kept++] = pair;
    }
    connections.resize(kept);
}

void assign_hungarian(int count_a, int count_b, AssignScratch& scratch,
                      std::vector<Connection>& connections) {
    if (connections.size() < 2) return;
    // Pairs that share no peak, even by way of others, do not compete: the optimum of the whole is
    // that of its groups, which are small even in crowds.
    std::vector<int>& parent = scratch.component;
    parent.resize(count_a + count_b);
    std::iota(parent.begin(), parent.end(), 0);
    for (const Connection& pair : connections) {
        parent[root(parent, pair.a)] = root(parent, count_a + pair.b);
    }
    std::sort(connections.begin(), connections.end(),
              [&parent](const Connection& one, const Connection& other) {
                  const int group = root(parent, one.a);
                  const int other_group = root(parent, other.a);
                  return group != other_group ? group < other_group : better(one, other);
              });
    scratch.chosen.clear();
    for (std::size_t first = 0; first < connections.size();) {
        const int group = root(parent, connections[first].a);
        std::size_t last = first;
        while (last < connections.size() && root(parent, connections[last].a) == group) ++last;
        match_group(&connections[first], static_cast<int>(last - first), scratch, scratch.chosen);
        first = last;
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
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    scratch.u.assign(rows, 0.0);
    scratch.v.assign(columns, 0.0);
    scratch.row_of.assign(columns, -1);
    column_of.assign(rows, -1);
    for (int start = 0; start < rows; ++start) {
        // The shortest path, in reduced costs, from the row to a free column.
        scratch.distance.assign(columns, kInfinity);
        scratch.previous.assign(columns, -1);
        scratch.done.assign(columns, 0);
        double shortest = 0;
        int row = start;
        int end = -1;
        while (end < 0) {
            const double* costs = cost + static_cast<std::ptrdiff_t>(row) * columns;
            double least = kInfinity;
            int next = -1;
            for (int column = 0; column < columns; ++column) {
                if (scratch.done[column] != 0) continue;
                const double through =
                    shortest + costs[column] - scratch.u[row] - scratch.v[column];
                if (through < scratch.distance[column]) {
                    scratch.distance[column] = through;
                    scratch.previous[column] = row;
                }
                const double distance = scratch.distance[column];
                if (distance < least || (distance == least && scratch.row_of[column] < 0 &&
                                         scratch.row_of[next] >= 0)) {
                    least = distance;
                    next = column;
                }
            }
            shortest = least;
            scratch.done[next] = 1;
            if (scratch.row_of[next] < 0) {
                end = next;
            } else {
                row = scratch.row_of[next];
            }
        }
        // Dual update, then flip the path.
        scratch.u[start] += shortest;
        for (int column = 0; column < columns; ++column) {
            if (scratch.done[column] == 0) continue;
            const double slack = shortest - scratch.distance[column];
            scratch.v[column] -= slack;
            if (scratch.row_of[column] >= 0) scratch.u[scratch.row_of[column]] += slack;
        }
        for (int column = end; column >= 0;) {
            const int owner = scratch.previous[column];
            scratch.row_of[column] = owner;
            std::swap(column_of[owner], column);
        }
    }
}

}  // namespace unchecked

void assign_greedy(int count_a, int count_b, Workspace& workspace,
                   std::vector<Connection>& connections) {
    check_pairs(count_a, count_b, connections);
    unchecked::assign_greedy(count_a, count_b, workspace.memory().connect.assign, connections);
}

void assign_hungarian(int count_a, int count_b, Workspace& workspace,
                      std::vector<Connection>& connections) {
    check_pairs(count_a, count_b, connections);
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
