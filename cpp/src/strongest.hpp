// The cap on peaks, by strength: raster order would keep a crowd's upper half and drop the rest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <vector>

namespace openpose_ext {

/// Drops the weakest of all[first, end) beyond `most`; the others keep their order, and of equal
/// scores the first stay. Anything with a `score` will do. `scores` is scratch.
template <class Scored>
void keep_strongest(std::vector<Scored>& all, std::size_t first, std::size_t most,
                    std::vector<decltype(Scored::score)>& scores) {
    if (all.size() - first <= most) return;
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    scores.clear();
    std::transform(begin, all.end(), std::back_inserter(scores),
                   [](const Scored& one) { return one.score; });
    const auto last = scores.begin() + static_cast<std::ptrdiff_t>(most - 1);
    std::nth_element(scores.begin(), last, scores.end(), std::greater<>());
    const auto weakest = *last;
    auto ties = static_cast<std::ptrdiff_t>(most) -
                std::count_if(begin, all.end(),
                              [weakest](const Scored& one) { return one.score > weakest; });
    const auto dropped = [weakest, &ties](const Scored& one) {
        return one.score < weakest || (one.score == weakest && ties-- <= 0);
    };
    all.erase(std::remove_if(begin, all.end(), dropped), all.end());
}

}  // namespace openpose_ext
