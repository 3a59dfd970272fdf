// A skeleton as data: which parts there are, which limbs join them, which channels carry them.
#pragma once

#include <string_view>
#include <vector>

#include "openpose_ext/export.hpp"

namespace openpose_ext {

/// A limb from part `a` to part `b`. Its field has the x of unit vectors from a to b in PAF
/// channel `paf_x`, the y in `paf_y`; both are -1 if no network gives a field, and the limb is
/// there to be drawn. A redundant limb closes a loop (shoulder-ear): it may confirm or join people,
/// but never starts one. `length` is its length in people as a share of other limbs' lengths; 0
/// where that is not known.
struct Limb {
    int a = 0;
    int b = 0;
    int paf_x = 0;
    int paf_y = 0;
    bool redundant = false;
    float length = 0;

    [[nodiscard]] bool has_field() const { return paf_x >= 0; }
};

struct Topology {
    int parts = 0;
    std::vector<Limb> limbs;
    std::vector<int> feet{};                ///< parts beyond the ankles: they make nobody a person
    std::vector<std::string_view> names{};  ///< of the parts, or none
    /// Parts: by how much careful people differ in putting each, as a share of the square root of a
    /// person's area (COCO's sigmas). Empty where that is not known.
    std::vector<float> sigmas{};

    /// Number of PAF channels that the limbs read: one more than the highest.
    [[nodiscard]] OPENPOSE_EXT_API int paf_channels() const;

    /// Throws std::invalid_argument naming the first limb with a part or channel out of range or
    /// a length that is negative or not finite, the first foot that is no part, or sigmas that are
    /// not one a part and positive.
    OPENPOSE_EXT_API void check() const;
};

/// The skeleton of OpenPose's COCO network: 18 parts from nose to ears, 38 PAF channels.
[[nodiscard]] OPENPOSE_EXT_API const Topology& coco_18();

/// The skeleton of OpenPose's BODY_25 network: 25 parts with middle hip and feet, 52 PAF channels.
[[nodiscard]] OPENPOSE_EXT_API const Topology& body_25();

/// The hand of OpenPose's hand network: 21 points from wrist to finger tips. It has no fields, so
/// its limbs are there to be drawn; see `decode_hand`.
[[nodiscard]] OPENPOSE_EXT_API const Topology& hand_21();

}  // namespace openpose_ext
