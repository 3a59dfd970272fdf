// Whether two skeletons are the same person, and dropping the weaker of two that are.
#pragma once

#include "openpose_ext/export.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/topology.hpp"
#include "openpose_ext/workspace.hpp"

namespace openpose_ext {

/// How tall a person is, or would stand: the middle one of the statures that the seen limbs tell by
/// their usual lengths, but at least the longer side of the seen parts' box. In the unit of the
/// points; 0 for a person without seen parts.
///
/// keypoints  topology.parts x (x, y, score); parts above kFilledScore are seen
[[nodiscard]] OPENPOSE_EXT_API float stature(const float* keypoints, const Topology& topology);

/// Two skeletons compared part by part.
struct Likeness {
    float oks = 0;   ///< mean over the common parts, 0 to 1; 0 if there are none
    int common = 0;  ///< parts that both have, seen or filled
    int fewer = 0;   ///< parts of the one that has fewer
};

/// COCO's object keypoint similarity over the parts that both have: the mean of
/// exp(-d^2 / (2 area (2 sigma)^2)), the area being that of a person of the stature given.
[[nodiscard]] OPENPOSE_EXT_API Likeness compare(const float* one, const float* other, float stature,
                                                const Topology& topology);

/// One part's term of that mean, of two points (x, y): 1 where they are the same.
[[nodiscard]] OPENPOSE_EXT_API double closeness(const float* one, const float* other, int part,
                                                float stature, const Topology& topology);

/// Whether both are one person: alike in most parts of the one that has fewer.
[[nodiscard]] OPENPOSE_EXT_API bool same_person(const Likeness& likeness);

/// Drops everybody who is the same person as somebody before them. The order stays. The smaller
/// one's stature counts. O(n^2) for n people; nothing happens without any.
///
/// Throws std::invalid_argument if the tables have other parts than the topology.
OPENPOSE_EXT_API void drop_doubles(People& people, const Topology& topology, Workspace& workspace);

}  // namespace openpose_ext
