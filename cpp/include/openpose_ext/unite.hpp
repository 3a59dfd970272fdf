// People of a first look at a picture, and of closer looks at its regions, into one set of people.
#pragma once

#include <span>
#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext {

/// What a closer look at a region gave.
struct Closer {
    People people;            ///< in the picture's frame
    std::vector<int> whom{};  ///< numbers, in the first look, of the people it was made for
};

/// One set of people, best first.
///
/// Each person of the first look, best first, takes from the closer look that was made for them the
/// one who is most like them (OKS above 0.3 over two parts or more) and whom nobody has taken; who
/// is left takes from any other look. They get that one's parts and score, and keep those parts of
/// their own that the closer look lacks. A part that they had seen, and that the closer look fills
/// in close by, stays seen: the place is the closer look's, the score theirs. Who finds nobody
/// stays as they were, unless half of their parts are where people of the closer looks have the
/// same parts: then they were put together of those. People whom only a closer look has come after
/// them, best first, without those who lie in the box of somebody more than twice as sure. Whoever
/// is the same person as somebody before them is dropped.
///
/// most  best people kept; 0 keeps all
/// Throws std::invalid_argument if tables do not fit the topology or a number is nobody's.
OPENPOSE_EXT_API People unite(const People& first, std::span<const Closer> closer,
                              const Topology& topology, int most);

}  // namespace openpose_ext
