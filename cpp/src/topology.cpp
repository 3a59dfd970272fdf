#include "openpose_ext/topology.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace openpose_ext {

namespace {

constexpr int kChannels = 1 << 20;  // more than any network has, and far from overflow

}  // namespace

int Topology::paf_channels() const {
    int channels = 0;
    for (const Limb& limb : limbs) channels = std::max({channels, limb.paf_x + 1, limb.paf_y + 1});
    return channels;
}

void Topology::check() const {
    if (parts < 1) throw std::invalid_argument("a topology needs at least one part");
    for (std::size_t l = 0; l < limbs.size(); ++l) {
        const Limb& limb = limbs[l];
        const bool joins_parts =
            limb.a >= 0 && limb.a < parts && limb.b >= 0 && limb.b < parts && limb.a != limb.b;
        if (!joins_parts) {
            throw std::invalid_argument("limb " + std::to_string(l) + " (" +
                                        std::to_string(limb.a) + ", " + std::to_string(limb.b) +
                                        ") does not join two of " + std::to_string(parts) +
                                        " parts");
        }
        if (std::min(limb.paf_x, limb.paf_y) < 0 || std::max(limb.paf_x, limb.paf_y) >= kChannels) {
            throw std::invalid_argument("limb " + std::to_string(l) + " has PAF channels " +
                                        std::to_string(limb.paf_x) + ", " +
                                        std::to_string(limb.paf_y));
        }
        if (!(limb.length >= 0) || !std::isfinite(limb.length)) {
            throw std::invalid_argument("limb " + std::to_string(l) + " has the length " +
                                        std::to_string(limb.length));
        }
    }
    for (const int foot : feet) {
        if (foot >= 0 && foot < parts) continue;
        throw std::invalid_argument("foot " + std::to_string(foot) + " is none of " +
                                    std::to_string(parts) + " parts");
    }
}

}  // namespace openpose_ext
