// The whole decoder: maps in, people out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "openpose_ext/assemble.hpp"
#include "openpose_ext/assign.hpp"
#include "openpose_ext/fill.hpp"
#include "openpose_ext/limbs.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/options.hpp"
#include "openpose_ext/peaks.hpp"
#include "openpose_ext/topology.hpp"

namespace openpose_ext {

/// How map cells lie in the picture: x_picture = scale_x * x_map + shift_x, y alike. Points are
/// clipped to [0, width - 1] x [0, height - 1].
struct Placement {
    double scale_x = 1;
    double shift_x = 0;
    double scale_y = 1;
    double shift_y = 0;
    int width = 1;
    int height = 1;

    /// A peak of the maps in the picture; its score stays.
    [[nodiscard]] Peak to_picture(const Peak& peak) const {
        const double x = scale_x * peak.x + shift_x;
        const double y = scale_y * peak.y + shift_y;
        return {static_cast<float>(std::clamp(x, 0.0, width - 1.0)),
                static_cast<float>(std::clamp(y, 0.0, height - 1.0)), peak.score};
    }
};

/// Scores of seen parts lie above this, those of filled parts at or below: OpenPose's own render
/// threshold.
inline constexpr float kFilledScore = 0.05f;

/// People, best first, as tables.
struct People {
    int count = 0;
    int parts = 0;
    std::vector<float> keypoints;      ///< count x parts x (x, y, score), 0, 0, 0 where missing
    std::vector<float> scores;         ///< count
    std::vector<std::uint8_t> filled;  ///< count x parts
};

/// Runs the stages over one picture's maps. Owns all scratch: build one, decode many. Not for two
/// threads at once.
class Decoder {
public:
    /// heat has topology.parts maps, perhaps a background behind them, which is not read; paf has
    /// topology.paf_channels(); both are of one height and width.
    /// Throws std::invalid_argument if not, or if an option or the placement is out of range.
    /// The result stays valid until the next call.
    const People& decode(MapView heat, MapView paf, const Topology& topology,
                         const Placement& placement, const DecodeOptions& options);

    // What the last decode saw, stage by stage.
    [[nodiscard]] const Peaks& peaks() const { return peaks_; }
    [[nodiscard]] const std::vector<std::vector<Connection>>& connections() const {
        return connections_;
    }

private:
    Peaks peaks_;
    std::vector<std::vector<Connection>> connections_;
    Assembly assembly_;
    Filled filled_;
    People people_;
    PeakScratch peak_scratch_;
    ConnectScratch connect_scratch_;
    AssembleScratch assemble_scratch_;
    std::vector<int> order_;
};

/// Throws std::invalid_argument unless the maps fit each other and the topology.
void check_maps(int heat_channels, int heat_height, int heat_width, int paf_channels,
                int paf_height, int paf_width, const Topology& topology);

}  // namespace openpose_ext
