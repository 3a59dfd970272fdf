// Stage 5: parts too weak to be peaks, found by following the fields from the parts a person has.
#pragma once

#include <vector>

#include "openpose_ext/assemble.hpp"
#include "openpose_ext/export.hpp"
#include "openpose_ext/limbs.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/options.hpp"
#include "openpose_ext/peaks.hpp"
#include "openpose_ext/topology.hpp"
#include "openpose_ext/workspace.hpp"

namespace openpose_ext {

/// Filled parts, a cell of the table a person and part; score 0 where nothing was filled.
struct Filled {
    std::vector<Peak> at;     ///< people x parts: x, y in map cells, score = heat there
    std::vector<char> taken;  ///< peaks: whether a person has it
};

/// Looks for each person's missing parts. For every limb with one end known, the way starts at the
/// known part and goes along the field, a cell a step (against it from b to a); the strongest heat
/// of the missing part beside the way is the candidate, and of several limbs' candidates the one
/// with the largest product of heat and mean field wins. A candidate needs a little heat, a field
/// that holds along the straight line no longer than `most_cells`, and no peak of that part of
/// another person at its place. Parts filled this way lead on to further ones.
///
/// Cost: a walk for every missing part and known neighbour; nothing for complete people.
/// Throws std::invalid_argument if the maps, peaks and people do not fit each other and the
/// topology.
OPENPOSE_EXT_API void fill(const MapView& heat, const MapView& paf, const Peaks& peaks,
                           const Topology& topology, const Assembly& assembly, Workspace& workspace,
                           Filled& filled);

}  // namespace openpose_ext
