#include "openpose_ext/regions.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
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

// Between two places in an input, in steps: grey.
constexpr double kApart = 0.5;

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

    // The size of a group's place.
    [[nodiscard]] std::pair<int, int> input(const Group& group, double stature) const {
        const double by = factor(group, stature);
        const int width = rounded_up((group.box.right - group.box.left + 1) * by);
        const int height = rounded_up((group.box.bottom - group.box.top + 1) * by);
        if (!is_fixed()) return {width, height};
        return {std::min(width, options_.fixed_width), std::min(height, options_.fixed_height)};
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

    [[nodiscard]] Region region(const Group& group, double stature,
                                std::pair<int, int> size) const {
        const double by = factor(group, stature);
        Region region;
        std::tie(region.network_width, region.network_height) = size;
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

// Places in inputs of one size. Each new place goes where it leaves the least of a side, and parts
// what is left there into two rectangles.
class Packer {
public:
    Packer(int width, int height, int apart) : width_(width), height_(height), apart_(apart) {}

    // Which input a place of this size gets, and where; a new input if there may be one more.
    std::optional<std::array<int, 3>> add(int width, int height, int most_inputs) {
        std::size_t best = free_.size();
        int least = std::numeric_limits<int>::max();
        for (std::size_t i = 0; i < free_.size(); ++i) {
            const int across = free_[i].width - width;
            const int down = free_[i].height - height;
            if (across < 0 || down < 0 || std::min(across, down) >= least) continue;
            least = std::min(across, down);
            best = i;
        }
        if (best == free_.size()) {
            if (inputs_ >= most_inputs) return std::nullopt;
            free_.push_back({inputs_++, 0, 0, width_, height_});
        }
        const Free chosen = free_[best];
        free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(best));
        const int across = std::max(0, chosen.width - width - apart_);
        const int down = std::max(0, chosen.height - height - apart_);
        const bool is_wide = across > down;  // the larger rest stays whole
        const int left = chosen.left + width + apart_;
        const int top = chosen.top + height + apart_;
        if (across > 0) {
            free_.push_back(
                {chosen.input, left, chosen.top, across, is_wide ? chosen.height : height});
        }
        if (down > 0) {
            free_.push_back({chosen.input, chosen.left, top, is_wide ? width : chosen.width, down});
        }
        return std::array<int, 3>{chosen.input, chosen.left, chosen.top};
    }

    [[nodiscard]] int inputs() const { return inputs_; }

private:
    struct Free {
        int input = 0;
        int left = 0;
        int top = 0;
        int width = 0;
        int height = 0;
    };

    int width_;
    int height_;
    int apart_;
    int inputs_ = 0;
    std::vector<Free> free_;
};

// What is looked at again of a network of one size: the largest and strongest of the groups, which
// come in that order, that find a place in so many inputs.
std::vector<Region> packed(const std::vector<Group>& groups, const Planner& planner, double stature,
                           const RegionOptions& options, int most_inputs) {
    Packer packer(options.fixed_width, options.fixed_height,
                  static_cast<int>(kApart * options.step));
    std::vector<Region> regions;
    std::vector<const Group*> shown;
    std::vector<int> sharing;
    for (const Group& group : groups) {
        const auto [width, height] = planner.input(group, stature);
        const auto place = packer.add(width, height, most_inputs);
        if (!place) continue;
        regions.push_back(planner.region(group, stature, {width, height}));
        regions.back().input = (*place)[0];
        regions.back().input_left = (*place)[1];
        regions.back().input_top = (*place)[2];
        shown.push_back(&group);
        sharing.resize(packer.inputs(), 0);
        ++sharing[regions.back().input];
    }
    for (std::size_t i = 0; i < regions.size(); ++i) {
        const int input = regions[i].input;
        if (sharing[input] > 1) continue;
        regions[i] =
            planner.region(*shown[i], stature, {options.fixed_width, options.fixed_height});
        regions[i].input = input;
    }
    return regions;
}

std::optional<Group> group_of(const People& people, int person, const Topology& topology, int width,
                              int height, double margin) {
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
    const double room = margin * tall;
    group.box = {across(box.left - room), down(box.top - room), across(box.right + room),
                 down(box.bottom + room)};
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
    if (!(options.margin >= 0) || !std::isfinite(options.margin)) {
        throw std::invalid_argument("the margin must be a number of statures, at least 0, not " +
                                    std::to_string(options.margin));
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
        auto group =
            group_of(people, person, topology, picture_width, picture_height, options.margin);
        if (group) everybody.push_back(std::move(*group));
    }
    const auto worth_more = [](const Group& one, const Group& other) {
        return one.worth > other.worth;
    };
    std::stable_sort(everybody.begin(), everybody.end(), worth_more);
    if (everybody.size() > kMostPeople) everybody.resize(kMostPeople);

    const Planner planner(picture_width, picture_height, options);
    const double of_input = static_cast<double>(options.fixed_width) * options.fixed_height;
    const int most_inputs = static_cast<int>(
        std::min(options.pixels / std::max(of_input, 1.0), static_cast<double>(kMostPeople)));
    double tall = options.stature;
    std::vector<Group> groups;
    while (true) {
        groups = joined(everybody, planner, tall);
        std::stable_sort(groups.begin(), groups.end(), worth_more);
        const double least = kSmallest * options.stature;
        if (planner.is_fixed()) {
            auto regions = packed(groups, planner, tall, options, most_inputs);
            if (regions.size() == groups.size() || tall <= least) return regions;
            tall = std::max(least, tall * kStep);
            continue;
        }
        double pixels = 0;
        for (const Group& group : groups) pixels += planner.cost(group, tall);
        if (pixels <= options.pixels || tall <= least) break;
        tall = std::max(least, tall * std::min(kStep, std::sqrt(options.pixels / pixels)));
    }
    std::vector<Region> regions;
    double left = options.pixels;
    for (const Group& group : groups) {
        const double pixels = planner.cost(group, tall);
        if (pixels > left) continue;
        left -= pixels;
        regions.push_back(planner.region(group, tall, planner.input(group, tall)));
        regions.back().input = static_cast<int>(regions.size()) - 1;
    }
    return regions;
}

}  // namespace openpose_ext
