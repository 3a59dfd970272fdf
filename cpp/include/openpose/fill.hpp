// Stage 5: parts too weak to be peaks, found by following the fields from the parts a person has.
#pragma once

#include <vector>

#include "openpose/assemble.hpp"

namespace openpose {

/// Filled parts, a cell of the table a person and part; score 0 where nothing was filled.
struct Filled {
    std::vector<Peak> at;  ///< people x parts, map cells
};

struct FillScratch {
    std::vector<Peak> taken;
    std::vector<int> taken_begin;
};

/// Looks for each person's missing parts. For every limb with one end known, in topology order and
/// with ends found before counting as known, the path starts at the known part and steps along the
/// field (against it from b to a); the strongest heat of the missing part on the way is the
/// candidate. It is filled if its heat and the field's mean along the straight line are above
/// their floors and no other person has a peak of that part there. Scores are in
/// (0, kFilledScore].
void fill(MapView heat, MapView paf, const Peaks& peaks, const Topology& topology,
          const Assembly& assembly, const DecodeOptions& options, FillScratch& scratch,
          Filled& filled);

}  // namespace openpose
