#include "openpose_ext/peaks.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
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
constexpr int kGroup = 8;  // cells of a block that are skipped at once if nothing stands out

// Positive floats are ordered as their bits, and compilers take the largest of integers faster.
inline std::int32_t bits_of(float value) { return std::bit_cast<std::int32_t>(value); }

// Whether a cell is above the threshold, in bits, and none of its four side neighbours, none of
// which may be infinite or no number, exceeds it.
inline int stands_out(const float* cell, int width, std::int32_t threshold) {
    const std::int32_t value = bits_of(*cell);
    const std::int32_t beside = std::max(bits_of(cell[-1]), bits_of(cell[1]));
    const std::int32_t across = std::max(bits_of(cell[-width]), bits_of(cell[width]));
    return static_cast<int>(value > threshold) &
           static_cast<int>(value >= std::max(beside, across));
}

// Where in a map of `total` cells, rows of `width`, there may be peaks: positions of cells that
// stand out, or that are above the threshold and at the map's edge or not to be told from there,
// ascending; returns their number. `active` has a cell a block, `found` one more than the map.
//
// One pass over the map finds the few blocks with a cell above the threshold; the others'
// neighbours are never read.
OPENPOSE_EXT_BODY
int scan_body(const float* cells, int total, int width, float threshold, std::int32_t* active,
              std::int32_t* found) {
    const std::int32_t least = bits_of(threshold);
    const auto above = [threshold](float cell) { return static_cast<int>(cell > threshold); };
    int count = 0;
    if (total < kBlock) {
        for (int i = 0; i < total; ++i) {
            found[count] = i;
            count += above(cells[i]);
        }
        return count;
    }
    int blocks = 0;
    std::int32_t highest = 0;
    for (int next = 0; next < total; next += kBlock) {
        // The last block overlaps the one before.
        const float* block = cells + std::min(next, total - kBlock);
        std::int32_t of_block = 0;
        for (int i = 0; i < kBlock; ++i) of_block = std::max(of_block, bits_of(block[i]));
        active[blocks] = next;
        blocks += static_cast<int>(of_block > least);
        highest = std::max(highest, of_block);
    }
    const bool finite = highest <= bits_of(std::numeric_limits<float>::max());
    int row = width;  // the first cell of a row
    for (int b = 0; b < blocks; ++b) {
        const int next = active[b];
        const int start = std::min(next, total - kBlock);
        if (!finite || start <= width || start + kBlock >= total - width) {
            for (int i = next; i < start + kBlock; ++i) {
                found[count] = i;
                count += above(cells[i]);
            }
            continue;
        }
        std::uint8_t out[kBlock];
        for (int i = 0; i < kBlock; ++i) {
            out[i] = static_cast<std::uint8_t>(stands_out(cells + start + i, width, least));
        }
        // What lies beside the first and the last cell of a row in memory is no neighbour.
        while (row < start) row += width;
        for (; row <= start + kBlock; row += width) {
            if (row > start)
                out[row - 1 - start] = static_cast<std::uint8_t>(above(cells[row - 1]));
            if (row == start + kBlock) break;  // which is looked at with the next block
            out[row - start] = static_cast<std::uint8_t>(above(cells[row]));
        }
        for (int group = 0; group < kBlock; group += kGroup) {
            std::uint64_t any = 0;
            std::memcpy(&any, out + group, kGroup);
            if (any == 0) continue;
            for (int i = group; i < group + kGroup; ++i) {
                found[count] = start + i;
                count += out[i];
            }
        }
    }
    return count;
}
OPENPOSE_EXT_CLONES(int, scan,
                    (const float* cells, int total, int width, float threshold,
                     std::int32_t* active, std::int32_t* found),
                    (cells, total, width, threshold, active, found))

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

// Natural logarithm of a positive, normal number, to 1.2e-7 of it or 5e-8: a peak needs five,
// and these are the same on every machine. v = 2^e m with m around 1, and the series of
// log m = 2 atanh((m - 1) / (m + 1)).
inline float logarithm(float v) {
    constexpr std::int32_t kRoot = 0x3f3504f3;  // the bits of sqrt(1/2), the least m
    const std::int32_t above = std::bit_cast<std::int32_t>(v) - kRoot;
    const std::int32_t mantissa = (above & 0x7fffff) + kRoot;
    const auto e = static_cast<float>(above >> 23);
    const float m = std::bit_cast<float>(mantissa);
    const float s = (m - 1) / (m + 1);
    const float z = s * s;
    const float series = z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9))));
    return e * 0.693147181f + 2 * (s + s * series);
}

// Vertex of the parabola through (-1, a), (0, b), (1, c), b the largest; in [-0.5, 0.5].
float vertex(float a, float b, float c) {
    const float bend = a + c - 2 * b;
    // Huge values overflow: an infinite bend has no vertex to divide by.
    if (!(bend < 0) || std::isinf(bend)) return 0;
    return std::clamp(0.5f * (a - c) / bend, -0.5f, 0.5f);
}

// Heat maps are close to gaussians, whose logarithms are parabolas; where a neighbour is not
// positive the values themselves are taken.
Peak locate(const Neighbourhood& n, int y, int x) {
    const float c = n.v[1][1];
    const float values[] = {c, n.v[1][0], n.v[1][2], n.v[0][1], n.v[2][1], c, c, c};
    float logs[std::size(values)];
    for (std::size_t i = 0; i < std::size(values); ++i) {
        logs[i] = logarithm(std::max(values[i], std::numeric_limits<float>::min()));
    }
    const bool log_x = c > 0 && values[1] > 0 && values[2] > 0;
    const bool log_y = c > 0 && values[3] > 0 && values[4] > 0;
    const float* of_x = log_x ? logs : values;
    const float* of_y = log_y ? logs : values;
    const float dx = vertex(of_x[1], of_x[0], of_x[2]);
    const float dy = vertex(of_y[3], of_y[0], of_y[4]);
    return {static_cast<float>(x) + dx, static_cast<float>(y) + dy, std::min(c, 1.0f)};
}

// Of equal neighbours the first in raster order is the peak.
bool is_peak(const Neighbourhood& n) {
    const float c = n.v[1][1];
    return c > n.v[0][0] && c > n.v[0][1] && c > n.v[0][2] && c > n.v[1][0] && c >= n.v[1][2] &&
           c >= n.v[2][0] && c >= n.v[2][1] && c >= n.v[2][2];
}

// One map as packed float32 cells: where they are, or in `rows`.
const float* packed(const Maps<float>& heat, int part, std::vector<float>& rows) {
    if (heat.row_stride == heat.width) return heat.row(part, 0);
    rows.resize(static_cast<std::size_t>(heat.height) * heat.width);
    for (int y = 0; y < heat.height; ++y) {
        std::copy_n(heat.row(part, y), heat.width, rows.begin() + std::ptrdiff_t{y} * heat.width);
    }
    return rows.data();
}

const float* packed(const Maps<float16>& heat, int part, std::vector<float>& rows) {
    rows.resize(static_cast<std::size_t>(heat.height) * heat.width);
    for (int y = 0; y < heat.height; ++y) {
        widen(heat.row(part, y), heat.width, &rows[static_cast<std::size_t>(y) * heat.width]);
    }
    return rows.data();
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
    const int total = height * width;
    // One more than there can be: `scan` writes before it counts.
    scratch.found.resize(static_cast<std::size_t>(total) + 1);
    scratch.active.resize(static_cast<std::size_t>(total) / kBlock + 2);
    for (int part = 0; part < parts; ++part) {
        const Maps<float> map{packed(heat, part, scratch.rows), 1, height, width, 0, width};
        const int count =
            scan(map.data, total, width, threshold, scratch.active.data(), scratch.found.data());
        int y = 0;
        int begin = 0;  // of row y
        for (int k = 0; k < count; ++k) {
            for (; scratch.found[k] >= begin + width; ++y) begin += width;
            const int x = scratch.found[k] - begin;
            const Neighbourhood n(map, 0, y, x);
            if (n.v[1][1] > threshold && is_peak(n)) peaks.all.push_back(locate(n, y, x));
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
