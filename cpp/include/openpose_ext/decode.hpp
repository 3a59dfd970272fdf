// The whole decoder: maps in, people out.
#pragma once

#include <memory>
#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/options.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/stages.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext {

/// Runs the stages over one picture's maps. Owns all memory it needs, and allocates none once it
/// has seen the largest picture: build one, decode many. Not for two threads at once.
class OPENPOSE_EXT_API Decoder {
public:
    Decoder();
    ~Decoder();
    Decoder(Decoder&& other) noexcept;
    Decoder& operator=(Decoder&& other) noexcept;

    /// heat has topology.parts maps, perhaps a background behind them, which is not read; paf has
    /// topology.paf_channels(); both are of one height and width.
    /// Throws std::invalid_argument if not, or if an option or the placement is out of range.
    /// The result stays valid until the next call.
    const People& decode(const MapView& heat, const MapView& paf, const Topology& topology,
                         const Placement& placement, const DecodeOptions& options = {});

    // What the last decode saw, stage by stage.
    [[nodiscard]] const Peaks& peaks() const;
    [[nodiscard]] const std::vector<std::vector<Connection>>& connections() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Throws std::invalid_argument unless the maps fit each other and the topology.
OPENPOSE_EXT_API void check_maps(int heat_channels, int heat_height, int heat_width,
                                 int paf_channels, int paf_height, int paf_width,
                                 const Topology& topology);

}  // namespace openpose_ext
