// Stage 3: each peak into at most one limb of a kind.
#pragma once

#include <span>
#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/limbs.hpp"
#include "openpose_ext/workspace.hpp"

namespace openpose_ext {

/// Keeps the best pairs, best score first, each peak once. Equal scores: lower a, then lower b.
/// The result is ordered by falling score. Throws std::invalid_argument unless a is in
/// [0, count_a), b in [0, count_b) and the score positive and finite.
OPENPOSE_EXT_API void assign_greedy(int count_a, int count_b, Workspace& workspace,
                                    std::vector<Connection>& connections);

/// Keeps the pairs with the largest sum of scores, each peak once: the exact optimum, not that of
/// the greedy choice. The result is ordered by falling score. Throws as `assign_greedy` does.
OPENPOSE_EXT_API void assign_hungarian(int count_a, int count_b, Workspace& workspace,
                                       std::vector<Connection>& connections);

/// Rectangular assignment: the columns, each once, that minimise the sum of cost[row, column] over
/// all rows. `cost` is rows x columns, row by row; column_of[row] is the answer. Shortest
/// augmenting paths (Jonker and Volgenant 1987; Crouse 2016), O(rows^2 columns).
/// Throws std::invalid_argument unless rows <= columns, `cost` has that many values, and all are
/// finite and within 1e100: sums of larger ones might overflow, and NaN has no shortest path.
OPENPOSE_EXT_API void solve_assignment(std::span<const double> cost, int rows, int columns,
                                       Workspace& workspace, std::vector<int>& column_of);

/// Scores the pairs of every limb and assigns them as the options say: connections[l] are the
/// chosen ones of limb l. A limb without a field has none. Throws as `score_limb` does.
OPENPOSE_EXT_API void connect(const MapView& paf, const Topology& topology, const Peaks& peaks,
                              const DecodeOptions& options, Workspace& workspace,
                              std::vector<std::vector<Connection>>& connections);

}  // namespace openpose_ext
