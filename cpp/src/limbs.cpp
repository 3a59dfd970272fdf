#include "openpose_ext/limbs.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

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

// Samples at the nearest cells, in the order in which they are taken: most pairs that pass the test
// halfway fail the first ones, away from the middle, and never need the last.
constexpr int kFirstSamples = 6;
constexpr int kLastSamples = kSamples - kFirstSamples;
constexpr float kFirst[kFirstSamples] = {0, 2, 3, 6, 7, 9};
constexpr float kLast[kLastSamples] = {1, 4, 5, 8};

constexpr int kTests = 2048;  // pairs tested halfway at once; their results stay in the cache

constexpr float kLargest = std::numeric_limits<float>::max();  // beyond it, nothing is a number

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

// Peaks of one part as arrays; `count` of them, padded to whole vectors.
struct Ends {
    const float* x;
    const float* y;
    int count;
};

// Finds the pairs of an a in [first, last) and a b whose field halfway exceeds the threshold: to
// `found`, ascending, (a - first) * padded(b.count) + b; returns how many. Most pairs of a crowd
// belong to different people and fail. `passes` is scratch; both have a cell more than there are
// pairs, b's padding included, and some of the pairs found may be of it.
//
// All fields are read before the first result is looked at: to wait for one, and to guess wrongly
// what it will be, costs more than many reads.
template <class T>
OPENPOSE_EXT_BODY int test_middles_body(const Field<T>& field, const Ends& a, int first, int last,
                                        const Ends& b, float threshold, std::int32_t* passes,
                                        std::int32_t* found) {
    const T* fx = field.x;
    const T* fy = field.y;
    const float* bx = b.x;
    const float* by = b.y;
    const std::int32_t stride = field.stride;
    const std::int32_t last_column = field.last_column;
    const std::int32_t last_row = field.last_row;
    const int columns = padded(b.count);
    for (int i = first; i < last; ++i) {
        const float ax = a.x[i];
        const float ay = a.y[i];
        std::int32_t* row = passes + (i - first) * columns;
        for (int j = 0; j < columns; ++j) {
            const float dx = bx[j] - ax;
            const float dy = by[j] - ay;
            const std::int32_t middle =
                nearest_cell(ax + 0.5f * dx, ay + 0.5f * dy, stride, last_column, last_row);
            const float least = threshold * std::sqrt(dx * dx + dy * dy);
            row[j] = static_cast<std::int32_t>(
                to_float(fx[middle]) * dx + to_float(fy[middle]) * dy > least);
        }
    }
    const int count = (last - first) * columns;
    int n = 0;
    for (int start = 0; start < count; start += kLanes) {
        std::uint64_t any[kLanes / 2];
        std::memcpy(any, passes + start, sizeof any);
        if ((any[0] | any[1] | any[2] | any[3]) == 0) continue;
        for (int i = start; i < start + kLanes; ++i) {
            found[n] = i;
            n += passes[i];
        }
    }
    return n;
}
OPENPOSE_EXT_CLONES(int, test_middles,
                    (const Field<float>& field, const Ends& a, int first, int last, const Ends& b,
                     float threshold, std::int32_t* passes, std::int32_t* found),
                    (field, a, first, last, b, threshold, passes, found))
OPENPOSE_EXT_CLONES(int, test_middles,
                    (const Field<float16>& field, const Ends& a, int first, int last, const Ends& b,
                     float threshold, std::int32_t* passes, std::int32_t* found),
                    (field, a, first, last, b, threshold, passes, found))

// The field at a cell along a unit vector. Fields are of unit vectors at most; a larger value is no
// better evidence.
template <class T>
inline float dot(const T* fx, const T* fy, std::int32_t cell, float unit_x, float unit_y) {
    const float value = confidence(to_float(fx[cell]) * unit_x + to_float(fy[cell]) * unit_y);
    return std::min(std::max(value, -1.0f), 1.0f);
}

// Loops below run over the pairs of a batch inside one over the samples: pairs are many, samples
// few, and all pairs take the same steps.

// Adds, for every pair, how many of those samples at the nearest cells exceed the threshold.
template <class T>
OPENPOSE_EXT_BODY void count_support_body(const Field<T>& field, float threshold,
                                          const float* samples, int number, PairBatch& pairs) {
    const T* fx = field.x;
    const T* fy = field.y;
    const std::int32_t stride = field.stride;
    const std::int32_t last_column = field.last_column;
    const std::int32_t last_row = field.last_row;
    const int count = padded(pairs.count);
    // Of this function alone, so that the compiler sees that no store changes the field.
    std::array<std::int32_t, kBatch> above;
    std::copy_n(pairs.above.begin(), count, above.begin());
    for (int s = 0; s < number; ++s) {
        const float along = samples[s];
        for (int i = 0; i < count; ++i) {
            const std::int32_t cell =
                nearest_cell(pairs.x[i] + along * pairs.step_x[i],
                             pairs.y[i] + along * pairs.step_y[i], stride, last_column, last_row);
            const float sample =
                to_float(fx[cell]) * pairs.unit_x[i] + to_float(fy[cell]) * pairs.unit_y[i];
            above[i] += static_cast<std::int32_t>(sample > threshold) &
                        static_cast<std::int32_t>(sample <= kLargest);
        }
    }
    std::copy_n(above.begin(), count, pairs.above.begin());
}
OPENPOSE_EXT_CLONES(void, count_support,
                    (const Field<float>& field, float threshold, const float* samples, int number,
                     PairBatch& pairs),
                    (field, threshold, samples, number, pairs))
OPENPOSE_EXT_CLONES(void, count_support,
                    (const Field<float16>& field, float threshold, const float* samples, int number,
                     PairBatch& pairs),
                    (field, threshold, samples, number, pairs))

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
        pairs.above[i] = 0;
    }
}
OPENPOSE_EXT_CLONES(void, set_lines, (PairBatch & pairs), (pairs))

// Keeps the pairs with at least `needed` samples above the threshold so far, in their order.
void keep_supported(int needed, PairBatch& pairs) {
    std::array<std::int32_t, kBatch + 1> kept;
    int count = 0;
    for (int i = 0; i < pairs.count; ++i) {
        kept[count] = i;
        count += static_cast<int>(pairs.above[i] >= needed);
    }
    if (count == pairs.count) return;
    pairs.count = count;
    const auto move = [&](auto& values) {
        for (int i = 0; i < count; ++i) values[i] = values[kept[i]];
    };
    move(pairs.a);
    move(pairs.b);
    move(pairs.x);
    move(pairs.y);
    move(pairs.step_x);
    move(pairs.step_y);
    move(pairs.unit_x);
    move(pairs.unit_y);
    move(pairs.length);
    move(pairs.above);
}

// Tries the pairs of a batch, appends the good ones and empties it.
template <class T>
void try_pairs(const Field<T>& field, float threshold, int needed, PairBatch& pairs,
               std::vector<Connection>& connections) {
    set_lines(pairs);
    count_support(field, threshold, kFirst, kFirstSamples, pairs);
    keep_supported(needed - kLastSamples, pairs);
    count_support(field, threshold, kLast, kLastSamples, pairs);
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

// Peaks as arrays in `x` and `y`.
Ends set_ends(const Peak* peaks, int count, std::vector<float>& x, std::vector<float>& y) {
    x.assign(padded(count), 0.0f);
    y.assign(padded(count), 0.0f);
    for (int i = 0; i < count; ++i) {
        x[i] = peaks[i].x;
        y[i] = peaks[i].y;
    }
    return {x.data(), y.data(), count};
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

    const Ends ends_a = set_ends(a, count_a, scratch.a_x, scratch.a_y);
    const Ends ends_b = set_ends(b, count_b, scratch.b_x, scratch.b_y);
    const int columns = padded(count_b);
    const int rows = std::min(count_a, std::max(kTests / columns, 1));
    scratch.passes.resize(rows * columns + 1);
    scratch.found.resize(rows * columns + 1);
    PairBatch& pairs = scratch.pairs;
    pairs.count = 0;
    for (int first = 0; first < count_a; first += rows) {
        const int last = std::min(first + rows, count_a);
        const int found = test_middles(field, ends_a, first, last, ends_b, threshold,
                                       scratch.passes.data(), scratch.found.data());
        int i = first;
        int begin = 0;  // of the pairs of i
        for (int k = 0; k < found; ++k) {
            for (; scratch.found[k] >= begin + columns; ++i) begin += columns;
            const int j = scratch.found[k] - begin;
            if (j >= count_b) continue;
            const int at = pairs.count++;
            pairs.a[at] = i;
            pairs.b[at] = j;
            pairs.x[at] = a[i].x;
            pairs.y[at] = a[i].y;
            pairs.end_x[at] = b[j].x;
            pairs.end_y[at] = b[j].y;
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
