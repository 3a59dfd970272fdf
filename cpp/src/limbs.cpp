#include "openpose/limbs.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "openpose/multiversion.hpp"

namespace openpose {

namespace {

constexpr float kShortest = 1e-3f;  // cells; closer peaks have no direction

// The field of one limb as two planes.
struct Field {
    const float* x;
    const float* y;
    std::int32_t stride;
    std::int32_t last_column;
    std::int32_t last_row;

    Field(MapView paf, const Limb& limb)
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

// For every b whether one of the two middle samples of the line from a exceeds the threshold. Most
// pairs of a crowd belong to different people and fail both.
OPENPOSE_MULTIVERSION
void test_middle(const Field& field, float ax, float ay, const float* bx, const float* by,
                 int count, float threshold, std::int32_t* passes) {
    const float* fx = field.x;
    const float* fy = field.y;
    const std::int32_t stride = field.stride;
    const std::int32_t last_column = field.last_column;
    const std::int32_t last_row = field.last_row;
    constexpr float kBefore = static_cast<float>(kSamples / 2 - 1) / (kSamples - 1);
    constexpr float kAfter = static_cast<float>(kSamples / 2) / (kSamples - 1);
    for (int i = 0; i < count; ++i) {
        const float dx = bx[i] - ax;
        const float dy = by[i] - ay;
        const std::int32_t before =
            nearest_cell(ax + dx * kBefore, ay + dy * kBefore, stride, last_column, last_row);
        const std::int32_t after =
            nearest_cell(ax + dx * kAfter, ay + dy * kAfter, stride, last_column, last_row);
        const float least = threshold * std::sqrt(dx * dx + dy * dy);
        passes[i] = static_cast<std::int32_t>(fx[before] * dx + fy[before] * dy > least) |
                    static_cast<std::int32_t>(fx[after] * dx + fy[after] * dy > least);
    }
}

// The line from a to b with its unit vector.
struct Line {
    float x, y, step_x, step_y, unit_x, unit_y, length;

    Line(const Peak& a, const Peak& b) : x(a.x), y(a.y) {
        const float dx = b.x - a.x;
        const float dy = b.y - a.y;
        length = std::sqrt(dx * dx + dy * dy);
        const float inverse = length > kShortest ? 1.0f / length : 0.0f;
        unit_x = dx * inverse;
        unit_y = dy * inverse;
        step_x = dx / (kSamples - 1);
        step_y = dy / (kSamples - 1);
    }

    // The field along the line at the cell nearest to sample t.
    [[nodiscard]] float nearest(const Field& field, int t) const {
        const auto along = static_cast<float>(t);
        return dot(field, nearest_cell(x + along * step_x, y + along * step_y, field.stride,
                                       field.last_column, field.last_row));
    }

    // The field along the line at sample t, between the four cells around it.
    [[nodiscard]] float between(const Field& field, int t) const {
        const auto along = static_cast<float>(t);
        const float px =
            std::clamp(x + along * step_x, 0.0f, static_cast<float>(field.last_column));
        const float py = std::clamp(y + along * step_y, 0.0f, static_cast<float>(field.last_row));
        const auto column = static_cast<std::int32_t>(px);
        const auto row = static_cast<std::int32_t>(py);
        const std::int32_t cell = row * field.stride + column;
        const std::int32_t right = cell + static_cast<std::int32_t>(column < field.last_column);
        const std::int32_t below = row < field.last_row ? field.stride : 0;
        const float across = px - static_cast<float>(column);
        const float down = py - static_cast<float>(row);
        const float upper = dot(field, cell) * (1 - across) + dot(field, right) * across;
        const float lower =
            dot(field, cell + below) * (1 - across) + dot(field, right + below) * across;
        return upper * (1 - down) + lower * down;
    }

private:
    // Fields are of unit vectors at most; a larger value is no better evidence.
    [[nodiscard]] float dot(const Field& field, std::int32_t cell) const {
        const float value = confidence(field.x[cell] * unit_x + field.y[cell] * unit_y);
        return std::clamp(value, -1.0f, 1.0f);
    }
};

// Samples that may fail before a pair is lost: more than `share` of them must hold.
int allowed_failures(double share) {
    const int needed = static_cast<int>(std::floor(share * kSamples)) + 1;
    return kSamples - std::min(needed, kSamples);
}

}  // namespace

Integral integrate(MapView paf, const Limb& limb, const Peak& from, const Peak& to,
                   float threshold) {
    const Field field(paf, limb);
    const Line line(from, to);
    float sum = 0;
    int above = 0;
    for (int t = 0; t < kSamples; ++t) {
        const float sample = line.nearest(field, t);
        sum += sample;
        above += static_cast<int>(sample > threshold);
    }
    return {sum / kSamples, static_cast<float>(above) / kSamples};
}

void score_limb(MapView paf, const Limb& limb, const Peaks& peaks, const DecodeOptions& options,
                LimbScratch& scratch, std::vector<Connection>& connections) {
    connections.clear();
    const int count_a = peaks.count(limb.a);
    const int count_b = peaks.count(limb.b);
    if (count_a == 0 || count_b == 0) return;

    const Field field(paf, limb);
    const Peak* a = peaks.of(limb.a);
    const Peak* b = peaks.of(limb.b);
    const auto threshold = static_cast<float>(options.paf_threshold);
    const int allowed = allowed_failures(options.min_paf_share);
    const float half_height = 0.5f * static_cast<float>(paf.height);

    scratch.x.resize(count_b);
    scratch.y.resize(count_b);
    scratch.passes.resize(count_b);
    for (int j = 0; j < count_b; ++j) {
        scratch.x[j] = b[j].x;
        scratch.y[j] = b[j].y;
    }
    for (int i = 0; i < count_a; ++i) {
        test_middle(field, a[i].x, a[i].y, scratch.x.data(), scratch.y.data(), count_b, threshold,
                    scratch.passes.data());
        for (int j = 0; j < count_b; ++j) {
            if (scratch.passes[j] == 0) continue;
            const Line line(a[i], b[j]);
            int failures = 0;
            for (int t = 0; t < kSamples && failures <= allowed; ++t) {
                failures += static_cast<int>(!(line.nearest(field, t) > threshold));
            }
            if (failures > allowed) continue;
            float sum = 0;
            for (int t = 0; t < kSamples; ++t) sum += line.between(field, t);
            const float prior = std::min(half_height / std::max(line.length, kShortest) - 1, 0.0f);
            const float score = sum / kSamples + prior;
            if (score > 0) connections.push_back({i, j, score});
        }
    }
}

}  // namespace openpose
