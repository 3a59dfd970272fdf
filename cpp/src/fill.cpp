#include "openpose/fill.hpp"

#include <algorithm>
#include <cmath>

#include "openpose/decode.hpp"

namespace openpose {

void fill(MapView, MapView, const Peaks&, const Topology& topology, const Assembly& assembly,
          const DecodeOptions&, FillScratch&, Filled& filled) {
    filled.at.assign(static_cast<std::size_t>(assembly.people) * topology.parts, Peak{});
}

}  // namespace openpose
