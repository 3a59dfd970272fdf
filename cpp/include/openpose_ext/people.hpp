// What the decoder finds: people, best first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include "openpose_ext/export.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/peaks.hpp"

namespace openpose_ext {

/// How map cells lie in the picture: x_picture = scale_x * x_map + shift_x, y alike. Points are
/// clipped to [0, width - 1] x [0, height - 1].
struct Placement {
    double scale_x = 1;
    double shift_x = 0;
    double scale_y = 1;
    double shift_y = 0;
    int width = 1;
    int height = 1;

    /// Points in pixels of the network's input: `stride` pixels a cell, and a pixel's centre at
    /// whole numbers.
    [[nodiscard]] static Placement network(int stride, const MapView& maps) {
        const double shift = 0.5 * stride - 0.5;
        return {double(stride),        shift, double(stride), shift, stride * maps.width(),
                stride * maps.height()};
    }

    /// A peak of the maps in the picture; its score stays.
    [[nodiscard]] Peak to_picture(const Peak& peak) const {
        const double x = scale_x * peak.x + shift_x;
        const double y = scale_y * peak.y + shift_y;
        return {static_cast<float>(std::clamp(x, 0.0, width - 1.0)),
                static_cast<float>(std::clamp(y, 0.0, height - 1.0)), peak.score};
    }

    /// Throws std::invalid_argument naming the number that is not finite, or the side of no pixels.
    OPENPOSE_EXT_API void check() const;
};

/// Scores of seen parts lie above this, those of filled parts at or below: OpenPose's own render
/// threshold.
inline constexpr float kFilledScore = 0.05f;

/// A part of a person in the picture. A missing one has a score of 0 and lies at 0, 0.
struct Keypoint {
    float x = 0;
    float y = 0;
    float score = 0;
    bool filled = false;  ///< found along the field, too weak to be a peak

    [[nodiscard]] bool is_missing() const { return score == 0; }
};

/// Walks over anything with operator[] that counts from 0; its elements are made as they are read.
template <class Owner, class Element>
class IndexIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = Element;
    using pointer = void;
    using reference = Element;

    IndexIterator(const Owner* owner, int at) : owner_(owner), at_(at) {}
    [[nodiscard]] Element operator*() const { return (*owner_)[at_]; }
    IndexIterator& operator++() {
        ++at_;
        return *this;
    }
    IndexIterator operator++(int) {
        const IndexIterator before = *this;
        ++at_;
        return before;
    }
    [[nodiscard]] bool operator==(const IndexIterator& other) const { return at_ == other.at_; }

private:
    const Owner* owner_;
    int at_;
};

struct People;

/// One of the people; a view into `People`, valid as long as they are.
class Person {
public:
    Person(const People& people, int row) : people_(&people), row_(row) {}

    [[nodiscard]] inline float score() const;
    [[nodiscard]] inline int size() const;
    [[nodiscard]] inline Keypoint operator[](int part) const;
    [[nodiscard]] auto begin() const { return IndexIterator<Person, Keypoint>(this, 0); }
    [[nodiscard]] auto end() const { return IndexIterator<Person, Keypoint>(this, size()); }

private:
    const People* people_;
    int row_;
};

/// People, best first, as tables; one can also walk over them:
///
///     for (const Person person : people)
///         for (const Keypoint point : person) ...
struct People {
    int count = 0;
    int parts = 0;
    std::vector<float> keypoints;      ///< count x parts x (x, y, score), 0, 0, 0 where missing
    std::vector<float> scores;         ///< count: in [0, 1], comparable across pictures
    std::vector<std::uint8_t> filled;  ///< count x parts

    [[nodiscard]] int size() const { return count; }
    [[nodiscard]] bool empty() const { return count == 0; }
    [[nodiscard]] Person operator[](int person) const { return {*this, person}; }
    [[nodiscard]] auto begin() const { return IndexIterator<People, Person>(this, 0); }
    [[nodiscard]] auto end() const { return IndexIterator<People, Person>(this, count); }
};

inline float Person::score() const { return people_->scores[static_cast<std::size_t>(row_)]; }
inline int Person::size() const { return people_->parts; }
inline Keypoint Person::operator[](int part) const {
    const std::size_t cell = static_cast<std::size_t>(row_) * people_->parts + part;
    const float* point = &people_->keypoints[3 * cell];
    return {point[0], point[1], point[2], people_->filled[cell] != 0};
}

}  // namespace openpose_ext
