// Checks that several stages share. Each throws std::invalid_argument: what was found, what was
// expected.
#pragma once

#include <vector>

#include "openpose_ext/limbs.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext {

/// Rows of adjacent cells, at least `channels` maps.
void check_view(const MapView& maps, const char* name, int channels);

/// Two parts out of `parts`, and two channels.
void check_limb(const Limb& limb, int parts);

/// Pairs of one out of count_a and one out of count_b peaks, scores positive and finite.
void check_pairs(int count_a, int count_b, const std::vector<Connection>& connections);

/// People of so many parts, in tables that agree, of finite numbers.
void check_people(const People& people, int parts);

}  // namespace openpose_ext
