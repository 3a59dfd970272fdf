// The heat maps of a hand, a face or a foot in, its points out.
#pragma once

#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/peaks.hpp"
#include "openpose_ext/people.hpp"

namespace openpose_ext {

/// Points of a hand: the wrist, and four of each finger.
inline constexpr int kHandPoints = 21;

/// A point's heat must exceed this. Maps of a crop without a hand stay below it nearly everywhere;
/// a body's peaks ask as much.
inline constexpr float kHandThreshold = 0.1f;

/// Finds the points of the one thing (a hand, a face, a foot) that the maps are of: in each of the
/// first `points` maps the highest cell, the first of equal ones in raster order, located below the
/// cell by `refine`.
///
/// Returns so many peaks in the picture's frame (see `Placement`), scores in (0.05, 1]; a point
/// whose highest heat is not above `kHandThreshold` is missing: 0, 0, 0. Values that are not finite
/// count as zero. One pass over the maps, in the order of their memory.
/// Throws std::invalid_argument unless there are `points` maps, or one more with the background, or
/// if the placement is out of range.
[[nodiscard]] OPENPOSE_EXT_API std::vector<Peak> decode_points(const MapView& heat, int points,
                                                               const Placement& placement);

/// The points of a hand by the same rules: of 21 maps, or 22 with the background.
[[nodiscard]] OPENPOSE_EXT_API std::vector<Peak> decode_hand(const MapView& heat,
                                                             const Placement& placement);

/// Throws std::invalid_argument unless these are a hand's maps; see `decode_hand`.
OPENPOSE_EXT_API void check_hand_maps(int channels, int height, int width);

}  // namespace openpose_ext
