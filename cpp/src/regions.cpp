#include "openpose_ext/regions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "checks.hpp"
#include "openpose_ext/doubles.hpp"
#include "rows.hpp"

namespace openpose_ext {

namespace {

// Around what was seen, in statures: the parts that were not. With 0.15 AP (mobilenet, height 368)
// is 0.01 lower, with 0.3 it is the same for a tenth more pixels.
constexpr double kMargin = 0.25;

// Larger than this no region is made: there is nothing more to be seen in it.
constexpr double kMostEnlarged = 4;

// People of one region are seen at one factor, so their statures may not differ by more.
constexpr double kAlike = 1.6;

// Over the bound, people are first seen smaller, in steps, to this share of the stature.
constexpr double kSmallest = 0.6;
constexpr double kStep = 0.95;

// Below this a stature says nothing, and a region would be of a few pixels.
constexpr double kLeastStature = 8;

// More are not looked at again, so that hostile maps end.
constexpr std::size_t kMostPeople = 128;

struct Box {
    double left = 0;
    double top = 0;
    double right = 0;
    double bottom = 0;
};

// People who are looked at together.
struct Group {
    Box box;
    std::vector<int> people;
    double smallest = 0;  // statures
    double largest = 0;
    double log_sum = 0;  // of the statures
    double worth = 0;    // of the largest and strongest of them
};

Box join(const Box& one, const Box& other) {
    return {std::min(one.left, other.left), std::min(one.top, other.top),
            std::max(one.right, other.right), std::max(one.bottom, other.bottom)};
}

Group join(const Group& one, const Group& other) {
    Group both;
    both.box = join(one.box, other.box);
    both.people = one.people;
    both.people.insert(both.people.end(), other.people.begin(), other.people.end());
    both.smallest = std::min(one.smallest, other.smallest);
    both.largest = std::max(one.largest, other.largest);
    both.log_sum = one.log_sum + other.log_sum;
    both.worth = std::max(one.worth, other.worth);
    return both;
}

// One axis of a region: pixels [first, first + count) of the picture.
struct Span {
    int first = 0;
    int count = 0;
};

// As much around the middle of [low, high] as `wanted` picture pixels, inside the picture.
Span span_around(double low, double high, double wanted, int size) {
    const double length = std::min(wanted, static_cast<double>(size));
    const double first = std::clamp((low + high + 1 - length) / 2, 0.0, size - length);
    const int begin = static_cast<int>(std::floor(first + 0.5));
    const int end = static_cast<int>(std::floor(first + length + 0.5));
    return {std::min(begin, size - 1), std::max(end - std::min(begin, size - 1), 1)};
}

class Planner {
public:
    Planner(int width, int height, const RegionOptions& options)
        : width_(width), height_(height), options_(options) {}

    [[nodiscard]] bool is_fixed() const { return options_.fixed_width > 0; }

    // Network pixels a picture pixel: what the people of a group want, and what there is room for.
    [[nodiscard]] double wanted_factor(const Group& group, double stature) const {
        const double mean = std::exp(group.log_sum / static_cast<double>(group.people.size()));
        return std::min(stature / mean, kMostEnlarged);
    }
    [[nodiscard]] double factor(const Group& group, double stature) const {
        const double wanted = wanted_factor(group, stature);
        if (!is_fixed()) return wanted;
        return std::min({wanted, options_.fixed_width / (group.box.right - group.box.left + 1),
                         options_.fixed_height / (group.box.bottom - group.box.top + 1)});
    }

    [[nodiscard]] std::pair<int, int> input(const Group& group, double stature) const {
        if (is_fixed()) return {options_.fixed_width, options_.fixed_height};
        const double by = factor(group, stature);
        return {rounded_up((group.box.right - group.box.left + 1) * by),
                rounded_up((group.box.bottom - group.box.top + 1) * by)};
    }

    [[nodiscard]] double cost(const Group& group, double stature) const {
        const auto [width, height] = input(group, stature);
        return static_cast<double>(width) * height;
    }

    [[nodiscard]] bool may_join(const Group& both, double stature) const {
        if (both.largest > kAlike * both.smallest) return false;
        // In an input of one size people may not become much smaller for each other's sake.
        return factor(both, stature) >= kSmallest * wanted_factor(both, stature);
    }

    [[nodiscard]] Region region(const Group& group, double stature) const {
        const double by = factor(group, stature);
        Region region;
        std::tie(region.network_width, region.network_height) = input(group, stature);
        const Span across =
            span_around(group.box.left, group.box.right, region.network_width / by, width_);
        const Span down =
            span_around(group.box.top, group.box.bottom, region.network_height / by, height_);
        region.left = across.first;
        region.width = across.count;
        region.top = down.first;
        region.height = down.count;
        region.content_width = content(region.width, by, region.network_width);
        region.content_height = content(region.height, by, region.network_height);
        region.people = group.people;
        std::sort(region.people.begin(), region.people.end());
        return region;
    }

private:
    [[nodiscard]] int rounded_up(double pixels) const {
        return std::max(1, static_cast<int>(std::ceil(pixels / options_.step))) * options_.step;
    }
    static int content(int pixels, double factor, int most) {
        return std::clamp(static_cast<int>(std::lround(pixels * factor)), 1, most);
    }

    int width_;
    int height_;
    RegionOptions options_;
};

// Joins groups, the pair that saves most first, until no pair saves anything.
std::vector<Group> joined(std::vector<Group> groups, const Planner& planner, double stature) {
    const std::size_t count = groups.size();
    std::vector<double> cost(count);
    for (std::size_t i = 0; i < count; ++i) cost[i] = planner.cost(groups[i], stature);
    constexpr double kNever = -1;
    const auto saving = [&](std::size_t i, std::size_t j) {
        const Group both = join(groups[i], groups[j]);
        if (!planner.may_join(both, stature)) return kNever;
        return cost[i] + cost[j] - planner.cost(both, stature);
    };
    // The best partner of each group among those before it.
    std::vector<double> saved(count * count, kNever);
    std::vector<char> gone(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < i; ++j) saved[i * count + j] = saving(i, j);
    }
    while (true) {
        double best = kNever;
        std::size_t keep = 0;
        std::size_t other = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (gone[i]) continue;
            for (std::size_t j = 0; j < i; ++j) {
                if (gone[j] || !(saved[i * count + j] > best)) continue;
                best = saved[i * count + j];
                keep = j;
                other = i;
            }
        }
        if (best < 0) break;
        groups[keep] = join(groups[keep], groups[other]);
        cost[keep] = planner.cost(groups[keep], stature);
        gone[other] = 1;
        for (std::size_t i = 0; i < count; ++i) {
            if (gone[i] || i == keep) continue;
            saved[std::max(i, keep) * count + std::min(i, keep)] = saving(i, keep);
        }
    }
    std::vector<Group> left;
    for (std::size_t i = 0; i < count; ++i) {
        if (!gone[i]) left.push_back(std::move(groups[i]));
    }
    return left;
}

std::optional<Group> group_of(const People& people, int person, const Topology& topology, int width,
                              int height) {
    const float* keypoints = keypoints_of(people, person);
    Box box{std::numeric_limits<double>::max(), std::numeric_limits<double>::max(),
            std::numeric_limits<double>::lowest(), std::numeric_limits<double>::lowest()};
    for (int part = 0; part < topology.parts; ++part) {
        const float* point = keypoints + 3 * part;
        if (point[2] > 0) box = join(box, Box{point[0], point[1], point[0], point[1]});
    }
    if (box.left > box.right) return std::nullopt;
    const double tall = std::max(static_cast<double>(stature(keypoints, topology)), kLeastStature);
    const auto across = [width](double x) { return std::clamp(x, 0.0, width - 1.0); };
    const auto down = [height](double y) { return std::clamp(y, 0.0, height - 1.0); };
    Group group;
    group.box = {across(box.left - kMargin * tall), down(box.top - kMargin * tall),
                 across(box.right + kMargin * tall), down(box.bottom + kMargin * tall)};
    group.people = {person};
    group.smallest = group.largest = tall;
    group.log_sum = std::log(tall);
    group.worth = tall * people.scores[person];
    return group;
}

void check(int width, int height, const RegionOptions& options) {
    if (width < 1 || height < 1) throw std::invalid_argument("the picture has no pixel");
    if (!(options.stature > 0) || !std::isfinite(options.stature)) {
        throw std::invalid_argument(
            "the stature must be a positive number of network pixels, not " +
            std::to_string(options.stature));
    }
    if (!(options.pixels >= 0)) {
        throw std::invalid_argument("the bound on pixels must not be negative, and is " +
                                    std::to_string(options.pixels));
    }
    if (options.step < 1) throw std::invalid_argument("the step must be at least a pixel");
    if (options.fixed_width < 0 || options.fixed_height < 0 ||
        (options.fixed_width == 0) != (options.fixed_height == 0)) {
        throw std::invalid_argument("a fixed size needs a width and a height");
    }
}

}  // namespace

std::vector<Region> find_regions(const People& people, const Topology& topology, int picture_width,
                                 int picture_height, const RegionOptions& options) {
    check(picture_width, picture_height, options);
    topology.check();
    check_people(people, topology.parts);
    std::vector<Group> everybody;
    for (int person = 0; person < people.count; ++person) {
        auto group = group_of(people, person, topology, picture_width, picture_height);
        if (group) everybody.push_back(std::move(*group));
    }
    const auto worth_more = [](const Group& one, const Group& other) {
        return one.worth > other.worth;
    };
    std::stable_sort(everybody.begin(), everybody.end(), worth_more);
    if (everybody.size() > kMostPeople) everybody.resize(kMostPeople);

    const Planner planner(picture_width, picture_height, options);
    double tall = options.stature;
    std::vector<Group> groups;
    while (true) {
        groups = joined(everybody, planner, tall);
        double pixels = 0;
        for (const Group& group : groups) pixels += planner.cost(group, tall);
        const double least = kSmallest * options.stature;
        if (pixels <= options.pixels || tall <= least || planner.is_fixed()) break;
        tall = std::max(least, tall * std::min(kStep, std::sqrt(options.pixels / pixels)));
    }
    std::stable_sort(groups.begin(), groups.end(), worth_more);
    std::vector<Region> regions;
    double left = options.pixels;
    for (const Group& group : groups) {
        const double pixels = planner.cost(group, tall);
        if (pixels > left) continue;
        left -= pixels;
        regions.push_back(planner.region(group, tall));
    }
    return regions;
}

}  // namespace openpose_ext
