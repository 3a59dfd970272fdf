// Rows of `People`: some of them alone.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "openpose_ext/people.hpp"

namespace openpose_ext {

/// Keeps the first `most` people; 0 keeps all.
inline void keep_best(People& people, int most) {
    if (most < 1 || people.count <= most) return;
    const auto rows = static_cast<std::size_t>(most);
    people.count = most;
    people.keypoints.resize(rows * people.parts * 3);
    people.scores.resize(rows);
    people.filled.resize(rows * people.parts);
}

/// A person's keypoints: parts x (x, y, score).
[[nodiscard]] inline const float* keypoints_of(const People& people, int person) {
    return people.keypoints.data() + static_cast<std::ptrdiff_t>(person) * people.parts * 3;
}

/// Keeps these people alone, at least one. Rows ascend.
inline void keep_rows(People& people, const std::vector<int>& rows) {
    const std::size_t parts = people.parts;
    for (std::size_t to = 0; to < rows.size(); ++to) {
        const auto from = static_cast<std::size_t>(rows[to]);
        std::copy_n(&people.keypoints[from * parts * 3], parts * 3,
                    &people.keypoints[to * parts * 3]);
        std::copy_n(&people.filled[from * parts], parts, &people.filled[to * parts]);
        people.scores[to] = people.scores[from];
    }
    keep_best(people, static_cast<int>(rows.size()));
}

}  // namespace openpose_ext
