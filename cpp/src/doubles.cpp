#include "openpose_ext/doubles.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "checks.hpp"
#include "clones.hpp"
#include "distance.hpp"
#include "rows.hpp"
#include "stages.hpp"

namespace openpose_ext {

namespace {

// A person's stature over the distance from neck to hip, of which Limb::length is a share.
constexpr float kStature = 3.3f;

// Area of a standing person over the square of the stature: COCO's areas of people with all parts.
constexpr float kArea = 0.25f;

// Of a part whose sigma is not known: near the mean of COCO's.
constexpr float kSigma = 0.07f;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Two skeletons are one person from this OKS on, if so large a share of the fewer parts is common.
// 0.3 and 0.65 instead change AP by less than 0.004 on two networks.
constexpr float kSameOks = 0.5f;
constexpr float kCommonShare = 0.5f;

// Two parts further apart than exp(-kFar) of OKS are far; so many of the common parts must be near
// for a mean above kSameOks: near + (1 - near) exp(-kFar) > kSameOks, and a little room for
// rounding.
constexpr double kFar = 2;
constexpr double kNearShare = 0.42;
static_assert(kNearShare + (1 - kNearShare) * 0.1354 < kSameOks);

bool is_there(const float* keypoint) { return keypoint[2] > 0; }
bool is_seen(const float* keypoint) { return keypoint[2] > kFilledScore; }

// The middle one of a few values, by counting the smaller ones: faster than sorting them.
float middle_of(const std::vector<float>& values) {
    const auto middle = static_cast<int>(values.size() / 2);
    for (const float value : values) {
        int smaller = 0;
        int equal = 0;
        for (const float other : values) {
            smaller += static_cast<int>(other < value);
            equal += static_cast<int>(other == value);
        }
        if (smaller <= middle && middle < smaller + equal) return value;
    }
    return values.front();  // nothing is in the middle of values that are no numbers
}

float stature_of(const float* keypoints, const Topology& topology, std::vector<float>& told) {
    float left = 0;
    float right = 0;
    float top = 0;
    float bottom = 0;
    bool anything = false;
    for (int part = 0; part < topology.parts; ++part) {
        const float* point = keypoints + 3 * part;
        if (!is_seen(point)) continue;
        left = anything ? std::min(left, point[0]) : point[0];
        right = anything ? std::max(right, point[0]) : point[0];
        top = anything ? std::min(top, point[1]) : point[1];
        bottom = anything ? std::max(bottom, point[1]) : point[1];
        anything = true;
    }
    const float extent = std::max(right - left, bottom - top);
    told.clear();
    for (const Limb& limb : topology.limbs) {
        const float* a = keypoints + 3 * limb.a;
        const float* b = keypoints + 3 * limb.b;
        if (!(limb.length > 0) || !is_seen(a) || !is_seen(b)) continue;
        told.push_back(kStature * distance(a[0] - b[0], a[1] - b[1]) / limb.length);
    }
    return told.empty() ? extent : std::max(extent, middle_of(told));
}

}  // namespace

float stature(const float* keypoints, const Topology& topology) {
    std::vector<float> told;
    return stature_of(keypoints, topology, told);
}

double closeness(const float* one, const float* other, int part, float stature,
                 const Topology& topology) {
    const double area = std::max(static_cast<double>(kArea) * stature * stature, 1e-6);
    const double sigma = 2.0 * (topology.sigmas.empty() ? kSigma : topology.sigmas[part]);
    const double x = static_cast<double>(one[0]) - other[0];
    const double y = static_cast<double>(one[1]) - other[1];
    return std::exp(-(x * x + y * y) / (2 * area * sigma * sigma));
}

Likeness compare(const float* one, const float* other, float stature, const Topology& topology) {
    Likeness likeness;
    int parts_of_one = 0;
    int parts_of_other = 0;
    double sum = 0;
    for (int part = 0; part < topology.parts; ++part) {
        const float* a = one + 3 * part;
        const float* b = other + 3 * part;
        parts_of_one += is_there(a);
        parts_of_other += is_there(b);
        if (!is_there(a) || !is_there(b)) continue;
        sum += closeness(a, b, part, stature, topology);
        ++likeness.common;
    }
    if (likeness.common > 0) likeness.oks = static_cast<float>(sum / likeness.common);
    likeness.fewer = std::min(parts_of_one, parts_of_other);
    return likeness;
}

bool same_person(const Likeness& likeness) {
    return likeness.oks > kSameOks &&
           static_cast<float>(likeness.common) >= kCommonShare * static_cast<float>(likeness.fewer);
}

namespace {

// False for most pairs of people: those that `compare` need not look at, for their OKS is no more
// than kSameOks. An exponential costs more than all the rest of a comparison.
bool may_be_alike(const float* one, const float* other, float stature, const Topology& topology) {
    const double area = std::max(static_cast<double>(kArea) * stature * stature, 1e-6);
    int common = 0;
    int near = 0;
    for (int part = 0; part < topology.parts; ++part) {
        const float* a = one + 3 * part;
        const float* b = other + 3 * part;
        const double sigma = 2.0 * (topology.sigmas.empty() ? kSigma : topology.sigmas[part]);
        const double x = static_cast<double>(a[0]) - b[0];
        const double y = static_cast<double>(a[1]) - b[1];
        const int both = static_cast<int>(is_there(a)) & static_cast<int>(is_there(b));
        common += both;
        near += both & static_cast<int>(x * x + y * y <= kFar * (2 * area * sigma * sigma));
    }
    return near >= kNearShare * common;
}

// How far from the box of a person of that stature, at most, a part lies that is near one of the
// person's.
float reach_of(float stature, float largest_sigma) {
    const float area = std::max(kArea * stature * stature, 1e-6f);
    return 1.01f * 2 * largest_sigma * std::sqrt(static_cast<float>(kFar) * 2 * area);
}

constexpr int kLanes = 16;  // boxes tested at once

// Sets close[i], for i in [0, count), to whether box i and `box` are no further from each other
// than the smaller reach: boxes further apart have no parts that are near. `count` is a multiple of
// kLanes; nothing is close to the boxes of padding.
OPENPOSE_EXT_BODY
void find_close_body(const DoublesScratch::Box& box, const float* __restrict left,
                     const float* __restrict right, const float* __restrict top,
                     const float* __restrict bottom, const float* __restrict reaches, int count,
                     std::uint8_t* __restrict close) {
    const DoublesScratch::Box one = box;
    for (int i = 0; i < count; ++i) {
        const float reach = std::min(one.reach, reaches[i]);
        close[i] = static_cast<int>(one.left <= right[i] + reach) &
                   static_cast<int>(left[i] <= one.right + reach) &
                   static_cast<int>(one.top <= bottom[i] + reach) &
                   static_cast<int>(top[i] <= one.bottom + reach);
    }
}
OPENPOSE_EXT_CLONES(void, find_close,
                    (const DoublesScratch::Box& box, const float* left, const float* right,
                     const float* top, const float* bottom, const float* reaches, int count,
                     std::uint8_t* close),
                    (box, left, right, top, bottom, reaches, count, close))

DoublesScratch::Box box_of(const float* keypoints, int parts, float reach) {
    DoublesScratch::Box box{kInfinity, -kInfinity, kInfinity, -kInfinity, reach};
    for (int part = 0; part < parts; ++part) {
        const float* point = keypoints + 3 * part;
        if (!is_there(point)) continue;
        box.left = std::min(box.left, point[0]);
        box.right = std::max(box.right, point[0]);
        box.top = std::min(box.top, point[1]);
        box.bottom = std::max(box.bottom, point[1]);
    }
    return box;
}

}  // namespace

void unchecked::drop_doubles(People& people, const Topology& topology, DoublesScratch& scratch) {
    float largest_sigma = kSigma;
    for (const float sigma : topology.sigmas) largest_sigma = std::max(largest_sigma, sigma);
    const int padded = (people.count + kLanes - 1) / kLanes * kLanes;
    for (std::vector<float>* side : {&scratch.left, &scratch.top}) side->assign(padded, kInfinity);
    for (std::vector<float>* side : {&scratch.right, &scratch.bottom, &scratch.reach}) {
        side->assign(padded, -kInfinity);
    }
    scratch.close.resize(padded);
    scratch.stature.resize(people.count);
    scratch.kept.clear();
    for (int person = 0; person < people.count; ++person) {
        const float* keypoints = keypoints_of(people, person);
        const float stature = stature_of(keypoints, topology, scratch.told);
        const auto box = box_of(keypoints, topology.parts, reach_of(stature, largest_sigma));
        const auto kept = static_cast<int>(scratch.kept.size());
        find_close(box, scratch.left.data(), scratch.right.data(), scratch.top.data(),
                   scratch.bottom.data(), scratch.reach.data(),
                   (kept + kLanes - 1) / kLanes * kLanes, scratch.close.data());
        bool is_double = false;
        for (int i = 0; i < kept && !is_double; ++i) {
            if (scratch.close[i] == 0) continue;
            const float smaller = std::min(stature, scratch.stature[i]);
            const float* other = keypoints_of(people, scratch.kept[i]);
            is_double = may_be_alike(keypoints, other, smaller, topology) &&
                        same_person(compare(keypoints, other, smaller, topology));
        }
        if (is_double) continue;
        scratch.kept.push_back(person);
        scratch.stature[kept] = stature;
        scratch.left[kept] = box.left;
        scratch.right[kept] = box.right;
        scratch.top[kept] = box.top;
        scratch.bottom[kept] = box.bottom;
        scratch.reach[kept] = box.reach;
    }
    if (static_cast<int>(scratch.kept.size()) < people.count) keep_rows(people, scratch.kept);
}

void drop_doubles(People& people, const Topology& topology, Workspace& workspace) {
    topology.check();
    check_people(people, topology.parts);
    unchecked::drop_doubles(people, topology, workspace.memory().doubles);
}

}  // namespace openpose_ext
