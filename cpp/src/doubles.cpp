#include "openpose_ext/doubles.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "checks.hpp"
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
        told.push_back(kStature * std::hypot(a[0] - b[0], a[1] - b[1]) / limb.length);
    }
    if (told.empty()) return extent;
    const auto middle = told.begin() + static_cast<std::ptrdiff_t>(told.size() / 2);
    std::nth_element(told.begin(), middle, told.end());
    return std::max(extent, *middle);
}

}  // namespace

float stature(const float* keypoints, const Topology& topology) {
    std::vector<float> told;
    return stature_of(keypoints, topology, told);
}

Likeness compare(const float* one, const float* other, float stature, const Topology& topology) {
    Likeness likeness;
    int parts_of_one = 0;
    int parts_of_other = 0;
    double sum = 0;
    const double area = std::max(static_cast<double>(kArea) * stature * stature, 1e-6);
    for (int part = 0; part < topology.parts; ++part) {
        const float* a = one + 3 * part;
        const float* b = other + 3 * part;
        parts_of_one += is_there(a);
        parts_of_other += is_there(b);
        if (!is_there(a) || !is_there(b)) continue;
        const double sigma = 2.0 * (topology.sigmas.empty() ? kSigma : topology.sigmas[part]);
        const double x = static_cast<double>(a[0]) - b[0];
        const double y = static_cast<double>(a[1]) - b[1];
        sum += std::exp(-(x * x + y * y) / (2 * area * sigma * sigma));
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

DoublesScratch::Box box_of(const float* keypoints, int parts) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    DoublesScratch::Box box{kInfinity, -kInfinity, kInfinity, -kInfinity};
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

// Whether the boxes lie further apart than two parts that are near may: no part is near then.
bool are_apart(const DoublesScratch::Box& one, const DoublesScratch::Box& other, float stature,
               float largest_sigma) {
    const float area = std::max(kArea * stature * stature, 1e-6f);
    const float reach = 1.01f * 2 * largest_sigma * std::sqrt(static_cast<float>(kFar) * 2 * area);
    return one.left > other.right + reach || other.left > one.right + reach ||
           one.top > other.bottom + reach || other.top > one.bottom + reach;
}

}  // namespace

void unchecked::drop_doubles(People& people, const Topology& topology, DoublesScratch& scratch) {
    scratch.kept.clear();
    scratch.stature.clear();
    scratch.box.clear();
    float largest_sigma = kSigma;
    for (const float sigma : topology.sigmas) largest_sigma = std::max(largest_sigma, sigma);
    for (int person = 0; person < people.count; ++person) {
        const float* keypoints = keypoints_of(people, person);
        scratch.stature.push_back(stature_of(keypoints, topology, scratch.told));
        scratch.box.push_back(box_of(keypoints, topology.parts));
        const auto is_double = [&](int before) {
            const float smaller = std::min(scratch.stature[person], scratch.stature[before]);
            const float* other = keypoints_of(people, before);
            if (are_apart(scratch.box[person], scratch.box[before], smaller, largest_sigma)) {
                return false;
            }
            if (!may_be_alike(keypoints, other, smaller, topology)) return false;
            return same_person(compare(keypoints, other, smaller, topology));
        };
        if (std::none_of(scratch.kept.begin(), scratch.kept.end(), is_double)) {
            scratch.kept.push_back(person);
        }
    }
    if (static_cast<int>(scratch.kept.size()) < people.count) keep_rows(people, scratch.kept);
}

void drop_doubles(People& people, const Topology& topology, Workspace& workspace) {
    topology.check();
    check_people(people, topology.parts);
    unchecked::drop_doubles(people, topology, workspace.memory().doubles);
}

}  // namespace openpose_ext
