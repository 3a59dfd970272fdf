// Stage 3: each peak into at most one limb of a kind.
#pragma once

#include <vector>

#include "openpose_ext/limbs.hpp"

namespace openpose_ext {

/// Scratch of the assignment, reused from call to call.
struct AssignScratch {
    std::vector<char> used;
    std::vector<int> a, b, component, order, column_of;
    std::vector<double> cost, u, v, distance;
    std::vector<int> row_of, previous;
    std::vector<char> done;
    std::vector<Connection> chosen;
};

/// Keeps the best pairs, best score first, each peak once. Equal scores: lower a, then lower b.
/// a in [0, count_a), b in [0, count_b). The result is ordered by falling score.
void assign_greedy(int count_a, int count_b, AssignScratch& scratch,
                   std::vector<Connection>& connections);

/// Keeps the pairs with the largest sum of scores, each peak once: the exact optimum, not that of
/// the greedy choice. Scores must be positive. The result is ordered by falling score.
void assign_hungarian(int count_a, int count_b, AssignScratch& scratch,
                      std::vector<Connection>& connections);

/// Rectangular assignment: the columns, each once, that minimise the sum of cost[row, column] over
/// all rows. `cost` is rows x columns, row by row; rows <= columns; all values finite.
/// column_of[row] is the answer. Shortest augmenting paths (Jonker and Volgenant 1987; Crouse
/// 2016), O(rows^2 columns).
void solve_assignment(const double* cost, int rows, int columns, AssignScratch& scratch,
                      std::vector<int>& column_of);

/// Scratch of `connect`, reused from call to call.
struct ConnectScratch {
    LimbScratch limb;
    AssignScratch assign;
    std::vector<Connection> pairs;
};

/// Scores the pairs of every limb and assigns them as the options say: connections[l] are the
/// chosen ones of limb l.
void connect(MapView paf, const Topology& topology, const Peaks& peaks,
             const DecodeOptions& options, ConnectScratch& scratch,
             std::vector<std::vector<Connection>>& connections);

}  // namespace openpose_ext
