// Sorting many items by 32 bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace openpose_ext {

/// Fewer items are sorted faster by comparing them.
inline constexpr std::size_t kFewToSort = 64;

/// Sorts by ascending key(item), a std::uint32_t; equal ones stay in their order. By digits of the
/// key, from the lowest on: O(n). `spare` and `places` are scratch.
template <class Item, class Key>
void sort_by_digits(std::vector<Item>& items, std::vector<Item>& spare,
                    std::vector<std::uint32_t>& places, const Key& key) {
    constexpr int kDigit = 8;  // bits of the key that are sorted at once
    constexpr int kDigits = 4;
    constexpr std::uint32_t kValues = 1U << kDigit;
    const std::size_t count = items.size();
    if (count == 0) return;
    places.assign(kDigits * kValues, 0);
    std::uint32_t* place = places.data();
    for (const Item& item : items) {
        for (int d = 0; d < kDigits; ++d)
            ++place[d * kValues + (key(item) >> (d * kDigit)) % kValues];
    }
    spare.resize(count);
    std::vector<Item>* from = &items;
    std::vector<Item>* to = &spare;
    for (int d = 0; d < kDigits; ++d, place += kValues) {
        const int shift = d * kDigit;
        if (place[(key(items[0]) >> shift) % kValues] == count) continue;
        std::exclusive_scan(place, place + kValues, place, 0U);
        for (const Item& item : *from) (*to)[place[(key(item) >> shift) % kValues]++] = item;
        std::swap(from, to);
    }
    if (from != &items) items.assign(from->begin(), from->end());
}

}  // namespace openpose_ext
