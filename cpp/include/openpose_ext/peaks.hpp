// Stage 1: where the parts are. Local maxima of the heat maps, refined below a cell.
#pragma once

#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/options.hpp"
#include "openpose_ext/workspace.hpp"

namespace openpose_ext {

/// A part seen once: x, y in map cells (cell centres at integers), score in (0, 1].
struct Peak {
    float x = 0;
    float y = 0;
    float score = 0;
};

/// Peaks of all parts, part by part: those of part k are at [begin[k], begin[k + 1]).
struct Peaks {
    std::vector<Peak> all;
    std::vector<int> begin;

    [[nodiscard]] int count(int part) const { return begin[part + 1] - begin[part]; }
    [[nodiscard]] const Peak* of(int part) const { return all.data() + begin[part]; }

    /// Throws std::invalid_argument unless these are the peaks of `parts` parts.
    OPENPOSE_EXT_API void check(int parts) const;

    /// The same, and that they have finite scores and lie in maps of that size: up to half a cell
    /// beyond the outermost cells' centres.
    OPENPOSE_EXT_API void check(int parts, int height, int width) const;
};

/// Finds the peaks of the first `parts` maps, in raster order within a part.
///
/// A peak is a cell above `peak_threshold` that no neighbour (of eight) exceeds; of equal
/// neighbours the first in raster order is taken, so a plateau gives one peak, not one a cell.
/// Cells outside the map and values that are not finite count as zero. At most `max_peaks` of a
/// part are kept, the strongest ones.
///
/// Cost: one pass over the maps; the neighbours are looked at only above the threshold.
/// Throws std::invalid_argument if there are fewer maps than `parts`, rows are not adjacent cells
/// or an option is out of range.
OPENPOSE_EXT_API void find_peaks(const MapView& heat, int parts, const DecodeOptions& options,
                                 Workspace& workspace, Peaks& peaks);

/// Peak position below a cell: the vertex of the parabola through the logarithms of the cell and
/// its two neighbours, by axis, moved at most half a cell.
/// Throws std::invalid_argument if (part, y, x) is no cell.
[[nodiscard]] OPENPOSE_EXT_API Peak refine(const MapView& heat, int part, int y, int x);

}  // namespace openpose_ext
