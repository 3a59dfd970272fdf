// The seed's rules (pytorch-openpose), step by step, on maps of the picture's size.
#pragma once

#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/options.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext::reference {

/// A candidate row of the seed: integer pixel, unsmoothed heat there; its id is its index.
struct Candidate {
    double x = 0;
    double y = 0;
    double score = 0;
};

/// A connection row of the seed: ids of both candidates, score, and their index within the part.
struct Link {
    int id_a = 0;
    int id_b = 0;
    double score = 0;
    int a = 0;
    int b = 0;
};

/// Candidates of all parts, part by part; those of part k at [begin[k], begin[k + 1]).
struct Candidates {
    std::vector<Candidate> all;
    std::vector<int> begin;
};

struct Result {
    Candidates candidates;
    std::vector<std::vector<Link>> links;  ///< by limb
    std::vector<double> subset;            ///< people x (parts + 2): ids or -1, score, count
};

/// Pixels whose smoothed heat (gaussian, sigma 3, 25 taps, edges reflected, float64) is above
/// `peak_threshold` and no lower than the four neighbours', in raster order; outside is zero.
/// Equal neighbours are all peaks. Only the strongest `max_peaks` of a part are kept.
template <class T>
OPENPOSE_EXT_API void find_peaks(Maps<T> heat, int parts, const DecodeOptions& options,
                                 Candidates& candidates);

/// Ten samples a pair, scored and accepted as the seed does; greedy, equal scores in order of
/// enumeration.
template <class T>
OPENPOSE_EXT_API void connect(Maps<T> paf, const Topology& topology, const Candidates& candidates,
                              const DecodeOptions& options, std::vector<std::vector<Link>>& links);

/// The seed's rows, quirks included; rows of too few parts or too low a mean are dropped.
OPENPOSE_EXT_API void assemble(const Topology& topology, const Candidates& candidates,
                               const std::vector<std::vector<Link>>& links,
                               const DecodeOptions& options, std::vector<double>& subset);

/// All three. Throws std::invalid_argument if the maps fit neither each other nor the topology.
template <class T>
OPENPOSE_EXT_API Result decode(Maps<T> heat, Maps<T> paf, const Topology& topology,
                               const DecodeOptions& options);

/// The 21 points of the hand that the maps are of, in pixels of the maps: of the 8-connected
/// components of smoothed heat above 0.05 the one with the largest sum of unsmoothed heat (the
/// first in raster order of equal ones), there the first pixel in raster order with the largest.
/// The score is the unsmoothed heat, which need not be positive; 0, 0, 0 without a component.
/// Throws std::invalid_argument unless there are 21 or 22 maps.
template <class T>
OPENPOSE_EXT_API std::vector<Candidate> find_hand(Maps<T> heat);

}  // namespace openpose_ext::reference
