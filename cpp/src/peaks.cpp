#include "openpose_ext/peaks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "openpose_ext/multiversion.hpp"
#include "strongest.hpp"

namespace openpose_ext {

namespace {

// Cells tested at once. Compilers unroll shorter loops instead of vectorising them.
constexpr int kBlock = 32;

inline bool exceeds(float neighbour, float value) {
    return neighbour > value && neighbour <= std::numeric_limits<float>::max();
}

// Columns of a row above the threshold that none of the four side neighbours exceeds, at least;
// returns their number. Few blocks of a map have a cell above the threshold, so the neighbours of
// most cells are never read. `up` and `down` are the row itself at the map's edge.
OPENPOSE_MULTIVERSION
int find_candidates(const float* up, const float* row, const float* down, int width,
                    float threshold, std::int32_t* columns) {
    int found = 0;
    columns[found++] = 0;
    int x = 1;
    for (; x + kBlock < width; x += kBlock) {
        int above = 0;
        for (int i = 0; i < kBlock; ++i) above |= static_cast<int>(row[x + i] > threshold);
        if (above == 0) continue;
        std::int32_t stands_out[kBlock];
        for (int i = 0; i < kBlock; ++i) {
            const float value = row[x + i];
            stands_out[i] = static_cast<std::int32_t>(value > threshold) &
                            static_cast<std::int32_t>(!exceeds(row[x + i - 1], value)) &
                            static_cast<std::int32_t>(!exceeds(row[x + i + 1], value)) &
                            static_cast<std::int32_t>(!exceeds(up[x + i], value)) &
                            static_cast<std::int32_t>(!exceeds(down[x + i], value));
        }
        for (int i = 0; i < kBlock; ++i) {
            columns[found] = x + i;
            found += stands_out[i];
        }
    }
    for (; x < width; ++x) columns[found++] = x;
    return found;
}

// The cell and its eight neighbours, by row; outside the map and not finite: zero.
struct Neighbourhood {
    float v[3][3];

    Neighbourhood(MapView heat, int part, int y, int x) {
        for (int dy = -1; dy <= 1; ++dy) {
            const bool inside = y + dy >= 0 && y + dy < heat.height;
            for (int dx = -1; dx <= 1; ++dx) {
                const bool here = inside && x + dx >= 0 && x + dx < heat.width;
                v[dy + 1][dx + 1] = here ? confidence(heat.at(part, y + dy, x + dx)) : 0.0f;
            }
        }
    }
};

// Vertex of the parabola through (-1, a), (0, b), (1, c), b the largest; in [-0.5, 0.5]. Heat maps
// are close to gaussians, whose logarithms are parabolas; where a neighbour is not positive the
// values themselves are taken.
float vertex(float a, float b, float c) {
    if (a > 0 && c > 0) {
        a = std::log(a);
        b = std::log(b);
        c = std::log(c);
    }
    const float bend = a + c - 2 * b;
    // Huge values overflow: an infinite bend has no vertex to divide by.
    if (!(bend < 0) || std::isinf(bend)) return 0;
    return std::clamp(0.5f * (a - c) / bend, -0.5f, 0.5f);
}

Peak refine(const Neighbourhood& n, int y, int x) {
    const float dx = vertex(n.v[1][0], n.v[1][1], n.v[1][2]);
    const float dy = vertex(n.v[0][1], n.v[1][1], n.v[2][1]);
    return {static_cast<float>(x) + dx, static_cast<float>(y) + dy, std::min(n.v[1][1], 1.0f)};
}

// Of equal neighbours the first in raster order is the peak.
bool is_peak(const Neighbourhood& n) {
    const float c = n.v[1][1];
    return c > n.v[0][0] && c > n.v[0][1] && c > n.v[0][2] && c > n.v[1][0] && c >= n.v[1][2] &&
           c >= n.v[2][0] && c >= n.v[2][1] && c >= n.v[2][2];
}

}  // namespace

Peak refine(MapView heat, int part, int y, int x) {
    return refine(Neighbourhood(heat, part, y, x), y, x);
}

void find_peaks(MapView heat, int parts, const DecodeOptions& options, PeakScratch& scratch,
                Peaks& peaks) {
    const auto threshold = static_cast<float>(options.peak_threshold);
    peaks.all.clear();
    peaks.begin.assign(1, 0);
    scratch.columns.resize(heat.width + 1);
    for (int part = 0; part < parts; ++part) {
        for (int y = 0; y < heat.height; ++y) {
            const float* row = heat.row(part, y);
            const float* up = heat.row(part, std::max(y - 1, 0));
            const float* down = heat.row(part, std::min(y + 1, heat.height - 1));
            const int candidates =
                find_candidates(up, row, down, heat.width, threshold, scratch.columns.data());
            for (int i = 0; i < candidates; ++i) {
                const int x = scratch.columns[i];
                if (!(row[x] > threshold)) continue;
                const Neighbourhood n(heat, part, y, x);
                if (n.v[1][1] > threshold && is_peak(n)) peaks.all.push_back(refine(n, y, x));
            }
        }
        keep_strongest(peaks.all, static_cast<std::size_t>(peaks.begin.back()),
                       static_cast<std::size_t>(options.max_peaks));
        peaks.begin.push_back(static_cast<int>(peaks.all.size()));
    }
}

}  // namespace openpose_ext
