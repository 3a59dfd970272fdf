// What a user may set about decoding. Python's DecodeOptions has the same names and defaults.
#pragma once

#include <cstdint>

#include "openpose_ext/export.hpp"

namespace openpose_ext {

enum class Assignment : std::uint8_t {
    greedy,     ///< best pair first, each peak once
    hungarian,  ///< the set of pairs with the largest sum of scores
};

struct DecodeOptions {
    /// A heat maximum must exceed this to be a peak.
    double peak_threshold = 0.1;
    /// A sample of the field along a limb must exceed this to count as evidence.
    double paf_threshold = 0.05;
    /// More than this share of a limb's samples must count.
    double min_paf_share = 0.6;
    /// People of fewer seen parts are dropped.
    int min_parts = 3;
    /// People whose evidence a part is lower are dropped; see `assemble`.
    double min_score = 0.4;
    Assignment assignment = Assignment::greedy;
    /// Follow the fields to parts too weak to be peaks.
    bool fill = true;
    /// Strongest peaks kept of each part.
    int max_peaks = 256;
    /// Best people kept; 0 keeps all.
    int max_people = 0;

    /// The seed's constants, for the reference rules. Its peaks are not capped; the bound here
    /// only keeps hostile maps from taking forever.
    [[nodiscard]] OPENPOSE_EXT_API static DecodeOptions reference();

    /// Throws std::invalid_argument naming the first option out of range.
    OPENPOSE_EXT_API void check() const;
};

}  // namespace openpose_ext
