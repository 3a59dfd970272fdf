// Stage 2: which peaks the fields join. Line integrals of the PAF between peaks of a limb's parts.
#pragma once

#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/options.hpp"
#include "openpose_ext/peaks.hpp"
#include "openpose_ext/topology.hpp"
#include "openpose_ext/workspace.hpp"

namespace openpose_ext {

/// Two peaks that a limb may join: `a` and `b` count from the first peak of the limb's parts.
/// score in (0, 1]: the mean field along the line from a to b.
struct Connection {
    int a = 0;
    int b = 0;
    float score = 0;
};

/// Samples of one line integral, both ends included (Cao et al., eq. 11, as a sum).
inline constexpr int kSamples = 10;

/// Scores all pairs of peaks of one limb and keeps those that the field supports, by a, then b.
///
/// A sample is the field times the unit vector from a to b, in [-1, 1]. A pair is kept if
///   - the field halfway exceeds `paf_threshold`,
///   - so do more than `min_paf_share` of the samples at the nearest cells, and
///   - its score is positive: the mean of half as many samples taken between the cells, plus
///     min(h / (2 |b - a|) - 1, 0) with h the height of the maps, the seed's prior against limbs
///     longer than half the picture.
/// Samples between cells rank the pairs of small people better (AP + 0.002 on average, + 0.01 at
/// height 256); the test they do not change. Coincident peaks have no direction and are not joined.
/// Samples that are not finite count as zero.
///
/// Cost: the field halfway for every pair; the samples for those few that pass.
/// Throws std::invalid_argument if the limb's channels or parts are not there, a peak lies outside
/// the maps, rows are not adjacent cells or an option is out of range.
OPENPOSE_EXT_API void score_limb(const MapView& paf, const Limb& limb, const Peaks& peaks,
                                 const DecodeOptions& options, Workspace& workspace,
                                 std::vector<Connection>& connections);

/// Mean of the field along the line from `from` to `to` (map cells) and the share of samples above
/// `threshold`; the same samples as `score_limb`. Throws as that does.
struct Integral {
    float mean = 0;
    float share = 0;
};
[[nodiscard]] OPENPOSE_EXT_API Integral integrate(const MapView& paf, const Limb& limb,
                                                  const Peak& from, const Peak& to, float threshold,
                                                  Workspace& workspace);

}  // namespace openpose_ext
