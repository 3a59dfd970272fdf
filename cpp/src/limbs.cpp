#include "openpose_ext/limbs.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "checks.hpp"
#include "clones.hpp"
#include "stages.hpp"

namespace openpose_ext {

namespace {

constexpr float kShortest = 1e-3f;  // cells; closer peaks have no direction

constexpr int kLanes = 8;  // pairs of a vector; 8 floats fill one of AVX2
static_assert(kBatch % kLanes == 0);

// Samples between cells, in the middle of as many equal pieces of the line. They are smoother than
// those at the nearest cells, so half as many rank pairs as well.
constexpr int kFineSamples = kSamples / 2;
constexpr float kFineStep = static_cast<float>(kSamples - 1) / kFineSamples;  // in sample steps

// Counts of pairs are rounded up to whole vectors: what lies behind the last pair of a batch is
// some older pair, or zeros, and its sums are never read.
inline int padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

// The field of one limb as two planes.
template <class T>
struct Field {
    const T* x;
    const T* y;
    std::int32_t stride;
    std::int32_t last_column;
    std::int32_t last_row;

    Field(const Maps<T>& paf, const Limb& limb)
        : x(paf.row(limb.paf_x, 0)),
          y(paf.row(limb.paf_y, 0)),
          stride(static_cast<std::int32_t>(paf.row_stride)),
          last_column(paf.width - 1),
          last_row(paf.height - 1) {}
};

// Nearest cell of a point that lies in the map or up to half a cell outside it.
inline std::int32_t nearest_cell(float x, float y, std::int32_t stride, std::int32_t last_column,
                                 std::int32_t last_row) {
    const auto column = static_cast<std::int32_t>(x + 0.5f);
    const auto row = static_cast<std::int32_t>(y + 0.5f);
    return std::min(row, last_row) * stride + std::min(column, last_column);
}

// Finds the b whose field halfway from a exceeds the threshold: their numbers, ascending, to
// `found`; returns how many. Most pairs of a crowd belong to different people and fail. `count` is
// a multiple of kLanes, bx and by have as many; `passes` is scratch.
template <class T>
OPENPOSE_EXT_BODY int test_middle_body(const Field<T>& field, float ax, float ay, const float* bx,
                                       const float* by, int count, float threshold,
                                       std::int32_t* passes, std::int32_t* found) {
    const T* fx = field.x;
    const T* fy = field.y;
    const std::int32_t stride = field.stride;
    const std::int32_t last_column = field.last_column;
    const std::int32_t last_row = field.last_row;
    for (int i = 0; i < count; ++i) {
        const float dx = bx[i] - ax;
        const float dy = by[i] - ay;
        const std::int32_t middle =
            nearest_cell(ax + 0.5f * dx, ay + 0.5f * dy, stride, last_column, last_row);
        const float least = threshold * std::sqrt(dx * dx + dy * dy);
        passes[i] = static_cast<std::int32_t>(
            to_float(fx[middle]) * dx + to_float(fy[middle]) * dy > least);
    }
    int n = 0;
    for (int first = 0; first < count; first += kLanes) {
        std::uint64_t any[kLanes / 2];
        std::memcpy(any, passes + first, sizeof any);
        if ((any[0] | any[1] | any[2] | any[3]) == 0) continue;
        for (int i = first; i < first + kLanes; ++i) {
            found[n] = i;
            n += passes[i];
        }
    }
    return n;
}
OPENPOSE_EXT_CLONES(int, test_middle,
                    (const Field<float>& field, float ax, float ay, const float* bx,
                     const float* by, int count, float threshold, std::int32_t* passes,
                     std::int32_t* found),
                    (field, ax, ay, bx, by, count, threshold, passes, found))
OPENPOSE_EXT_CLONES(int, test_middle,
                    (const Field<float16>& field, float ax, float ay, const float* bx,
                     const float* by, int count, float threshold, std::int32_t* passes,
                     std::int32_t* found),
                    (field, ax, ay, bx, by, count, threshold, passes, found))

// The field at a cell along a unit vector. Fields are of unit vectors at most; a larger value is no
// better evidence.
template <class T>
inline float dot(const T* fx, const T* fy, std::int32_t cell, float unit_x, float unit_y) {
    const float value = confidence(to_float(fx[cell]) * unit_x + to_float(fy[cell]) * unit_y);
    return std::min(std::max(value, -1.0f), 1.0f);
}

// Loops below run over the pairs of a batch inside one over the samples: pairs are many, samples
// few, and all pairs take the same steps.

// Adds, for every pair, the samples at the nearest cells and the number of those above the
// threshold.
template <class T>
OPENPOSE_EXT_BODY void sample_nearest_body(const Field<T>& field, float threshold,
                                           PairBatch& pairs) {
    const T* fx = field.x;
    const T* fy = field.y;
    const std::int32_t stride = field.stride;
    const std::int32_t last_column = field.last_column;
    const std::int32_t last_row = field.last_row;
    const int count = padded(pairs.count);
    // Of this function alone, so that the compiler sees that no store changes the field.
    std::array<float, kBatch> sum;
    std::array<std::int32_t, kBatch> above;
    for (int i = 0; i < count; ++i) {
        sum[i] = 0;
        above[i] = 0;
    }
    for (int t = 0; t < kSamples; ++t) {
        const auto along = static_cast<float>(t);
        for (int i = 0; i < count; ++i) {
            const std::int32_t cell =
                nearest_cell(pairs.x[i] + along * pairs.step_x[i],
                             pairs.y[i] + along * pairs.step_y[i], stride, last_column, last_row);
            const float sample = dot(fx, fy, cell, pairs.unit_x[i], pairs.unit_y[i]);
            sum[i] += sample;
            above[i] += static_cast<std::int32_t>(sample > threshold);
        }
    }
    std::copy_n(sum.begin(), count, pairs.sum.begin());
    std::copy_n(above.begin(), count, pairs.above.begin());
}
OPENPOSE_EXT_CLONES(void, sample_nearest,
                    (const Field<float>& field, float threshold, PairBatch& pairs),
                    (field, threshold, pairs))
OPENPOSE_EXT_CLONES(void, sample_nearest,
                    (const Field<float16>& field, float threshold, PairBatch& pairs),
                    (field, threshold, pairs))

// Sets, for every pair, the sum of the samples taken between the four cells around each.
template <class T>
OPENPOSE_EXT_BODY void sample_between_body(const Field<T>& field, PairBatch& pairs) {
    const T* fx = field.x;
    const T* fy = field.y;
    const std::int32_t stride = field.stride;
    const std::int32_t last_column = field.last_column;
    const std::int32_t last_row = field.last_row;
    const auto right_edge = static_cast<float>(last_column);
    const auto bottom_edge = static_cast<float>(last_row);
    const int count = padded(pairs.count);
    std::array<float, kBatch> sum;
    for (int i = 0; i < count; ++i) sum[i] = 0;
    for (int t = 0; t < kFineSamples; ++t) {
        const float along = kFineStep * (static_cast<float>(t) + 0.5f);
        for (int i = 0; i < count; ++i) {
            const float unit_x = pairs.unit_x[i];
            const float unit_y = pairs.unit_y[i];
            const float x =
                std::min(std::max(pairs.x[i] + along * pairs.step_x[i], 0.0f), right_edge);
            const float y =
                std::min(std::max(pairs.y[i] + along * pairs.step_y[i], 0.0f), bottom_edge);
            const auto column = static_cast<std::int32_t>(x);
            const auto row = static_cast<std::int32_t>(y);
            const std::int32_t next_column = std::min(column + 1, last_column);
            const std::int32_t above = row * stride;
            const std::int32_t below = std::min(row + 1, last_row) * stride;
            const float across = x - static_cast<float>(column);
            const float down = y - static_cast<float>(row);
            const float upper = dot(fx, fy, above + column, unit_x, unit_y) * (1 - across) +
                                dot(fx, fy, above + next_column, unit_x, unit_y) * across;
            const float lower = dot(fx, fy, below + column, unit_x, unit_y) * (1 - across) +
                                dot(fx, fy, below + next_column, unit_x, unit_y) * across;
            sum[i] += upper * (1 - down) + lower * down;
        }
    }
    std::copy_n(sum.begin(), count, pairs.sum.begin());
}
OPENPOSE_EXT_CLONES(void, sample_between, (const Field<float>& field, PairBatch& pairs),
                    (field, pairs))
OPENPOSE_EXT_CLONES(void, sample_between, (const Field<float16>& field, PairBatch& pairs),
                    (field, pairs))

// Sets the lines of the pairs from their ends.
OPENPOSE_EXT_BODY
void set_lines_body(PairBatch& pairs) {
    const int count = padded(pairs.count);
    for (int i = 0; i < count; ++i) {
        const float dx = pairs.end_x[i] - pairs.x[i];
        const float dy = pairs.end_y[i] - pairs.y[i];
        const float length = std::sqrt(dx * dx + dy * dy);
        const float inverse = length > kShortest ? 1.0f / length : 0.0f;
        pairs.step_x[i] = dx / (kSamples - 1);
        pairs.step_y[i] = dy / (kSamples - 1);
        pairs.unit_x[i] = dx * inverse;
        pairs.unit_y[i] = dy * inverse;
        pairs.length[i] = length;
    }
}
OPENPOSE_EXT_CLONES(void, set_lines, (PairBatch & pairs), (pairs))

// Keeps the pairs with at least `needed` samples above the threshold, in their order.
void keep_supported(int needed, PairBatch& pairs) {
    int kept = 0;
    for (int i = 0; i < pairs.count; ++i) {
        if (pairs.above[i] < needed) continue;
        pairs.a[kept] = pairs.a[i];
        pairs.b[kept] = pairs.b[i];
        pairs.x[kept] = pairs.x[i];
        pairs.y[kept] = pairs.y[i];
        pairs.step_x[kept] = pairs.step_x[i];
        pairs.step_y[kept] = pairs.step_y[i];
        pairs.unit_x[kept] = pairs.unit_x[i];
        pairs.unit_y[kept] = pairs.unit_y[i];
        pairs.length[kept] = pairs.length[i];
        ++kept;
    }
    pairs.count = kept;
}

// Tries the pairs of a batch, appends the good ones and empties it.
template <class T>
void try_pairs(const Field<T>& field, float threshold, int needed, PairBatch& pairs,
               std::vector<Connection>& connections) {
    set_lines(pairs);
    sample_nearest(field, threshold, pairs);
    keep_supported(needed, pairs);
    sample_between(field, pairs);
    const float half_height = 0.5f * static_cast<float>(field.last_row + 1);
    for (int i = 0; i < pairs.count; ++i) {
        const float prior = std::min(half_height / std::max(pairs.length[i], kShortest) - 1, 0.0f);
        const float score = pairs.sum[i] / kFineSamples + prior;
        if (score > 0) connections.push_back({pairs.a[i], pairs.b[i], score});
    }
    pairs.count = 0;
}

}  // namespace

namespace unchecked {

template <class T>
Integral integrate(const Maps<T>& paf, const Limb& limb, const Peak& from, const Peak& to,
                   float threshold) {
    const Field<T> field(paf, limb);
    const float dx = to.x - from.x;
    const float dy = to.y - from.y;
    const float length = std::sqrt(dx * dx + dy * dy);
    const float inverse = length > kShortest ? 1.0f / length : 0.0f;
    const float step_x = dx / (kSamples - 1);
    const float step_y = dy / (kSamples - 1);
    float sum = 0;
    int above = 0;
    for (int t = 0; t < kSamples; ++t) {
        const auto along = static_cast<float>(t);
        const std::int32_t cell = nearest_cell(from.x + along * step_x, from.y + along * step_y,
                                               field.stride, field.last_column, field.last_row);
        const float sample = dot(field.x, field.y, cell, dx * inverse, dy * inverse);
        sum += sample;
        above += static_cast<int>(sample > threshold);
    }
    return {sum / kSamples, static_cast<float>(above) / kSamples};
}
template Integral integrate(const Maps<float>&, const Limb&, const Peak&, const Peak&, float);
template Integral integrate(const Maps<float16>&, const Limb&, const Peak&, const Peak&, float);

template <class T>
void score_limb(const Maps<T>& paf, const Limb& limb, const Peaks& peaks,
                const DecodeOptions& options, LimbScratch& scratch,
                std::vector<Connection>& connections) {
    connections.clear();
    const int count_a = peaks.count(limb.a);
    const int count_b = peaks.count(limb.b);
    if (count_a == 0 || count_b == 0) return;

    const Field<T> field(paf, limb);
    const Peak* a = peaks.of(limb.a);
    const Peak* b = peaks.of(limb.b);
    const auto threshold = static_cast<float>(options.paf_threshold);
    // More than the share; a share just below one asks for all.
    const int needed =
        std::min(static_cast<int>(std::floor(options.min_paf_share * kSamples)) + 1, kSamples);

    const int padded_b = padded(count_b);
    scratch.x.assign(padded_b, 0.0f);
    scratch.y.assign(padded_b, 0.0f);
    scratch.passes.resize(padded_b);
    scratch.found.resize(padded_b + 1);
    for (int j = 0; j < count_b; ++j) {
        scratch.x[j] = b[j].x;
        scratch.y[j] = b[j].y;
    }
    PairBatch& pairs = scratch.pairs;
    pairs.count = 0;
    for (int i = 0; i < count_a; ++i) {
        int found = test_middle(field, a[i].x, a[i].y, scratch.x.data(), scratch.y.data(), padded_b,
                                threshold, scratch.passes.data(), scratch.found.data());
        // The padding lies behind the last b.
        while (found > 0 && scratch.found[found - 1] >= count_b) --found;
        for (int k = 0; k < found; ++k) {
            const int j = scratch.found[k];
            const int at = pairs.count++;
            pairs.a[at] = i;
            pairs.b[at] = j;
            pairs.x[at] = a[i].x;
            pairs.y[at] = a[i].y;
            pairs.end_x[at] = scratch.x[j];
            pairs.end_y[at] = scratch.y[j];
            if (pairs.count == kBatch) try_pairs(field, threshold, needed, pairs, connections);
        }
    }
    try_pairs(field, threshold, needed, pairs, connections);
}
template void score_limb(const Maps<float>&, const Limb&, const Peaks&, const DecodeOptions&,
                         LimbScratch&, std::vector<Connection>&);
template void score_limb(const Maps<float16>&, const Limb&, const Peaks&, const DecodeOptions&,
                         LimbScratch&, std::vector<Connection>&);

}  // namespace unchecked

Integral integrate(const MapView& paf, const Limb& limb, const Peak& from, const Peak& to,
                   float threshold, Workspace&) {
    check_limb(limb, std::max(limb.a, limb.b) + 1);
    check_view(paf, "paf", std::max(limb.paf_x, limb.paf_y) + 1);
    const Peaks ends{{from, to}, {0, 1, 2}};
    ends.check(2, paf.height(), paf.width());
    return paf.visit(
        [&](const auto& maps) { return unchecked::integrate(maps, limb, from, to, threshold); });
}

void score_limb(const MapView& paf, const Limb& limb, const Peaks& peaks,
                const DecodeOptions& options, Workspace& workspace,
                std::vector<Connection>& connections) {
    options.check();
    const int parts = static_cast<int>(peaks.begin.size()) - 1;
    check_limb(limb, parts);
    check_view(paf, "paf", std::max(limb.paf_x, limb.paf_y) + 1);
    peaks.check(parts, paf.height(), paf.width());
    paf.visit([&](const auto& maps) {
        unchecked::score_limb(maps, limb, peaks, options, workspace.memory().connect.limb,
                              connections);
    });
}

}  // namespace openpose_ext
