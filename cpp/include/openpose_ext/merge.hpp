// Maps of several passes over one picture (scales, mirror image) into one set of maps.
#pragma once

#include <span>
#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/maps.hpp"

namespace openpose_ext {

/// One pass: its maps, and where the merged cells lie in them. Merged cell (x, y) is read at
/// (scale_x * x + shift_x, scale_y * y + shift_y); a mirrored pass has a negative scale_x. Merged
/// channel c is sign[c] times channel[c] of the maps.
struct Pass {
    MapView maps;
    double scale_x = 1;
    double shift_x = 0;
    double scale_y = 1;
    double shift_y = 0;
    std::vector<int> channel;
    std::vector<float> sign;
    double weight = 1;  ///< its share in the mean, over the sum of all passes' weights
};

/// Weighted mean of the passes: channels x height x width into `merged`.
///
/// Between cells the maps are interpolated with the cubic kernel of a = -0.75 (OpenCV's); cells
/// beyond the edge repeat it. Values that are not finite count as zero.
/// Throws std::invalid_argument if there is no pass, `merged` is not of that size, or a pass has no
/// cells, other than `channels` channels, a channel out of range, a placement that is not finite
/// or a weight that is not positive.
OPENPOSE_EXT_API void merge(const std::vector<Pass>& passes, int channels, int height, int width,
                            std::span<float> merged);

}  // namespace openpose_ext
