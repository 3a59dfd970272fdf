#include "openpose_ext/peaks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "checks.hpp"
#include "clones.hpp"
#include "stages.hpp"
#include "strongest.hpp"

namespace openpose_ext {

namespace {

// Cells tested at once. Compilers unroll shorter loops instead of vectorising them.
constexpr int kBlock = 64;
constexpr int kPart = 32;  // of a block with something in it, looked at more closely at once
constexpr int kGroup = 8;  // cells of a part that are skipped at once if nothing stands out

inline bool exceeds(float neighbour, float value) {
    return neighbour > value && neighbour <= std::numeric_limits<float>::max();
}

// Whether a cell is above the threshold and none of its four side neighbours exceeds it.
inline bool stands_out(const float* cell, int up, int down, float threshold) {
    const float value = *cell;
    return static_cast<int>(value > threshold) & static_cast<int>(!exceeds(cell[-1], value)) &
           static_cast<int>(!exceeds(cell[1], value)) &
           static_cast<int>(!exceeds(cell[up], value)) &
           static_cast<int>(!exceeds(cell[down], value));
}

// Positions in [begin, end) of the cells that stand out, ascending; returns their number. Few
// blocks of a map have a cell above the threshold, so the neighbours of most cells are never read.
OPENPOSE_EXT_BODY
int scan_body(const float* cells, int begin, int end, int up, int down, float threshold,
              std::int32_t* found) {
    int count = 0;
    int start = begin;
    for (; end - start >= kBlock; start += kBlock) {
        const float* block = cells + start;
        int above = 0;
        for (int i = 0; i < kBlock; ++i) above |= static_cast<int>(block[i] > threshold);
        if (above == 0) continue;
        for (int first = 0; first < kBlock; first += kPart) {
            std::uint8_t out[kPart];
            for (int i = 0; i < kPart; ++i) {
                out[i] = stands_out(block + first + i, up, down, threshold);
            }
            for (int group = 0; group < kPart; group += kGroup) {
                std::uint64_t any = 0;
                std::memcpy(&any, out + group, kGroup);
                if (any == 0) continue;
                for (int i = group; i < group + kGroup; ++i) {
                    found[count] = start + first + i;
                    count += out[i];
                }
            }
        }
    }
    for (; start < end; ++start) {
        found[count] = start;
        count += static_cast<int>(cells[start] > threshold);
    }
    return count;
}
OPENPOSE_EXT_CLONES(int, scan,
                    (const float* cells, int begin, int end, int up, int down, float threshold,
                     std::int32_t* found),
                    (cells, begin, end, up, down, threshold, found))

OPENPOSE_EXT_BODY
void widen_body(const float16* cells, int count, float* out) {
    for (int i = 0; i < count; ++i) out[i] = to_float(cells[i]);
}
OPENPOSE_EXT_CLONES(void, widen, (const float16* cells, int count, float* out), (cells, count, out))

// The cell and its eight neighbours, by row; outside the map and not finite: zero.
struct Neighbourhood {
    float v[3][3];

    template <class T>
    Neighbourhood(const Maps<T>& heat, int part, int y, int x) {
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
float vertex(float a, float b, float c, float log_b) {
    if (a > 0 && c > 0) {
        a = std::log(a);
        b = log_b;
        c = std::log(c);
    }
    const float bend = a + c - 2 * b;
    // Huge values overflow: an infinite bend has no vertex to divide by.
    if (!(bend < 0) || std::isinf(bend)) return 0;
    return std::clamp(0.5f * (a - c) / bend, -0.5f, 0.5f);
}

Peak locate(const Neighbourhood& n, int y, int x) {
    const float log = n.v[1][1] > 0 ? std::log(n.v[1][1]) : 0.0f;
    const float dx = vertex(n.v[1][0], n.v[1][1], n.v[1][2], log);
    const float dy = vertex(n.v[0][1], n.v[1][1], n.v[2][1], log);
    return {static_cast<float>(x) + dx, static_cast<float>(y) + dy, std::min(n.v[1][1], 1.0f)};
}

// Of equal neighbours the first in raster order is the peak.
bool is_peak(const Neighbourhood& n) {
    const float c = n.v[1][1];
    return c > n.v[0][0] && c > n.v[0][1] && c > n.v[0][2] && c > n.v[1][0] && c >= n.v[1][2] &&
           c >= n.v[2][0] && c >= n.v[2][1] && c >= n.v[2][2];
}

// One map as float32 rows; half-precision ones are widened a map at a time.
struct Plane {
    const float* cells;
    int stride;
};

Plane plane_of(const Maps<float>& heat, int part, PeakScratch&) {
    return {heat.row(part, 0), static_cast<int>(heat.row_stride)};
}

Plane plane_of(const Maps<float16>& heat, int part, PeakScratch& scratch) {
    scratch.rows.resize(static_cast<std::size_t>(heat.height) * heat.width);
    for (int y = 0; y < heat.height; ++y) {
        widen(heat.row(part, y), heat.width,
              &scratch.rows[static_cast<std::size_t>(y) * heat.width]);
    }
    return {scratch.rows.data(), heat.width};
}

}  // namespace

namespace unchecked {

template <class T>
Peak refine(const Maps<T>& heat, int part, int y, int x) {
    return locate(Neighbourhood(heat, part, y, x), y, x);
}
template Peak refine(const Maps<float>&, int, int, int);
template Peak refine(const Maps<float16>&, int, int, int);

template <class T>
void find_peaks(const Maps<T>& heat, int parts, const DecodeOptions& options, PeakScratch& scratch,
                Peaks& peaks) {
    const auto threshold = static_cast<float>(options.peak_threshold);
    const int height = heat.height;
    const int width = heat.width;
    peaks.all.clear();
    peaks.begin.assign(1, 0);
    // One more than there can be: `scan` writes before it counts.
    scratch.columns.resize(static_cast<std::size_t>(height) * width + 1);
    std::int32_t* found = scratch.columns.data();
    for (int part = 0; part < parts; ++part) {
        const Plane plane = plane_of(heat, part, scratch);
        const Maps<float> map{plane.cells, 1, height, width, 0, plane.stride};
        const auto look = [&](int y, int x) {
            if (!(map.row(0, y)[x] > threshold)) return;
            const Neighbourhood n(map, 0, y, x);
            if (n.v[1][1] > threshold && is_peak(n)) {
                peaks.all.push_back(locate(n, y, x));
            }
        };
        // Adjacent rows are scanned as one; what a cell at the left or right edge was compared with
        // then lies on another row, so those cells are looked at apart.
        const bool packed = plane.stride == width && height > 2;
        int y = 0;
        while (y < height) {
            const int up = y > 0 ? -plane.stride : 0;
            const int last = packed && y == 1 ? height - 2 : y;
            const int down = last < height - 1 ? plane.stride : 0;
            const float* row = map.row(0, y);
            const int count =
                scan(row, 1, (last - y) * width + width - 1, up, down, threshold, found);
            int next = 0;
            for (; y <= last; ++y) {
                look(y, 0);
                const int end = static_cast<int>(map.row(0, y) - row) + width - 1;
                for (; next < count && found[next] < end; ++next) {
                    const int x = found[next] - (end - width + 1);
                    if (x > 0) look(y, x);
                }
                if (width > 1) look(y, width - 1);
                next += static_cast<int>(next < count && found[next] == end);
            }
        }
        keep_strongest(peaks.all, static_cast<std::size_t>(peaks.begin.back()),
                       static_cast<std::size_t>(options.max_peaks), scratch.scores);
        peaks.begin.push_back(static_cast<int>(peaks.all.size()));
    }
}
template void find_peaks(const Maps<float>&, int, const DecodeOptions&, PeakScratch&, Peaks&);
template void find_peaks(const Maps<float16>&, int, const DecodeOptions&, PeakScratch&, Peaks&);

}  // namespace unchecked

void Peaks::check(int parts) const {
    if (static_cast<int>(begin.size()) != parts + 1 || begin.front() != 0 ||
        begin.back() != static_cast<int>(all.size()) ||
        !std::is_sorted(begin.begin(), begin.end())) {
        throw std::invalid_argument("begin of the peaks must rise from 0 to their number, " +
                                    std::to_string(all.size()) + ", in " + std::to_string(parts) +
                                    " steps");
    }
}

void Peaks::check(int parts, int height, int width) const {
    check(parts);
    const auto text = [](auto value) { return std::to_string(value); };
    for (std::size_t i = 0; i < all.size(); ++i) {
        const Peak& peak = all[i];
        const bool inside = peak.x >= -0.5f && peak.x <= static_cast<float>(width) - 0.5f &&
                            peak.y >= -0.5f && peak.y <= static_cast<float>(height) - 0.5f;
        if (!inside || !std::isfinite(peak.score)) {
            throw std::invalid_argument("peak " + text(i) + " at " + text(peak.x) + ", " +
                                        text(peak.y) + " of score " + text(peak.score) +
                                        " does not lie in maps of " + text(height) + " x " +
                                        text(width) + " cells");
        }
    }
}

Peak refine(const MapView& heat, int part, int y, int x) {
    if (part < 0 || part >= heat.channels() || y < 0 || y >= heat.height() || x < 0 ||
        x >= heat.width()) {
        throw std::invalid_argument(
            "there is no cell (" + std::to_string(part) + ", " + std::to_string(y) + ", " +
            std::to_string(x) + ") in " + std::to_string(heat.channels()) + " maps of " +
            std::to_string(heat.height()) + " x " + std::to_string(heat.width()));
    }
    check_view(heat, "heat", part + 1);
    return heat.visit([&](const auto& maps) { return unchecked::refine(maps, part, y, x); });
}

void find_peaks(const MapView& heat, int parts, const DecodeOptions& options, Workspace& workspace,
                Peaks& peaks) {
    options.check();
    if (parts < 1) {
        throw std::invalid_argument("parts must be at least 1, not " + std::to_string(parts));
    }
    check_view(heat, "heat", parts);
    heat.visit([&](const auto& maps) {
        unchecked::find_peaks(maps, parts, options, workspace.memory().peaks, peaks);
    });
}

}  // namespace openpose_ext
