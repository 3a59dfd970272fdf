// People of a picture that was looked at the right way up and turned by quarters.
#pragma once

#include <span>
#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext {

/// One of the people of a look, and their score in comparison with those of all looks.
struct Sighting {
    int look = 0;
    int person = 0;
    float score = 0;
};

/// Who is there, by the looks at a picture in all directions, best first.
///
/// A network that learned from people who stand finds those who lie in a picture that is turned,
/// and in it puts together somebody out of those who stand. So people of turned looks keep 0.6 of
/// their score, and count only if half of their parts are seen, feet left out; and whoever is the
/// same person as somebody better of another look, or shares half of the smaller one's box with
/// them, is left out.
///
/// looks  people in the picture's frame; the first look is the one that was not turned
///
/// Throws std::invalid_argument if tables do not fit the topology.
OPENPOSE_EXT_API std::vector<Sighting> best_of_turns(std::span<const People> looks,
                                                     const Topology& topology);

}  // namespace openpose_ext
