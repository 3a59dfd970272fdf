// A skeleton as data: which parts there are, which limbs join them, which channels carry them.
#pragma once

#include <vector>

namespace openpose_ext {

/// A limb from part `a` to part `b`. Its field has the x of unit vectors from a to b in PAF
/// channel `paf_x`, the y in `paf_y`. A redundant limb closes a loop (shoulder-ear): it may
/// confirm or join people, but never starts one. `length` is its length in people as a share of
/// other limbs' lengths; 0 where that is not known.
struct Limb {
    int a = 0;
    int b = 0;
    int paf_x = 0;
    int paf_y = 0;
    bool redundant = false;
    float length = 0;
};

struct Topology {
    int parts = 0;
    std::vector<Limb> limbs;
    std::vector<int> feet{};  ///< parts beyond the ankles: they make nobody a person

    /// Number of PAF channels that the limbs read: one more than the highest.
    [[nodiscard]] int paf_channels() const;

    /// Throws std::invalid_argument naming the first limb with a part or channel out of range or
    /// a length that is negative or not finite, or the first foot that is no part.
    void check() const;
};

}  // namespace openpose_ext
