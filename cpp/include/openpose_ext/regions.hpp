// Where to look again: parts of the picture that show people, and how large each is to be seen.
#pragma once

#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext {

/// A part of the picture that is looked at by itself.
struct Region {
    int left = 0;  ///< pixels of the picture: [left, left + width) x [top, top + height)
    int top = 0;
    int width = 0;
    int height = 0;
    int network_width = 0;   ///< size of its place in the network's input, which is the input's
    int network_height = 0;  ///< unless that has one size
    int content_width = 0;   ///< the part's image there, top-left; no larger than the place
    int content_height = 0;
    int input = 0;       ///< which input it is in, 0 first; several share one of a fixed size
    int input_left = 0;  ///< where its place begins there
    int input_top = 0;
    std::vector<int> people{};  ///< who is looked at here, by ascending number
};

struct RegionOptions {
    double stature = 270;  ///< network pixels that a person shall be tall
    double pixels = 0;     ///< bound of all regions' network pixels; infinity for none
    double margin = 0.25;  ///< around a person's parts, in statures: those that were not seen
    int step = 32;         ///< inputs are multiples of this on both axes: few sizes are cheap
    int fixed_width = 0;   ///< size of the only input that the network takes; 0 for any
    int fixed_height = 0;
};

/// The regions of people: everybody in one region at most.
///
/// A person's region is the box of the parts, seen and filled, and `options.margin` statures around
/// it, cut at the picture's edge, at the factor that makes the stature `options.stature` network
/// pixels, but no more than four. Two regions become one, at the geometric mean of their people's
/// factors, while that needs no more network pixels and no two of its people differ by more than
/// 1.6 times in stature; the pair that saves most goes first. What is left of the input shows
/// more of the picture.
///
/// A network of one size sees several regions side by side in an input, a little apart; one that is
/// alone in its input fills it, and no region is larger than it.
///
/// If that is more than `options.pixels`, everybody is seen smaller, down to 0.6 times the stature;
/// if that is still too much, the smallest and weakest (stature times score) are left out, by
/// regions.
///
/// Nobody gives no region. Of more than 128 people the largest and strongest are looked at. O(n^3).
/// Throws std::invalid_argument if the tables do not fit the topology, the picture has no pixel, or
/// an option is out of range.
OPENPOSE_EXT_API std::vector<Region> find_regions(const People& people, const Topology& topology,
                                                  int picture_width, int picture_height,
                                                  const RegionOptions& options);

}  // namespace openpose_ext
