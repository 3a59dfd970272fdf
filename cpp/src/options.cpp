#include "openpose_ext/options.hpp"

#include <stdexcept>
#include <string>

namespace openpose_ext {

DecodeOptions DecodeOptions::reference() {
    DecodeOptions options;
    options.min_paf_share = 0.8;
    options.min_parts = 4;
    options.fill = false;
    options.max_peaks = 1024;
    return options;
}

namespace {

void require(bool holds, const char* name, double value, const char* range) {
    if (!holds) {
        throw std::invalid_argument(std::string(name) + " must be " + range + ", not " +
                                    std::to_string(value));
    }
}

}  // namespace

void DecodeOptions::check() const {
    // Written so that NaN fails.
    require(peak_threshold > 0 && peak_threshold < 1, "peak_threshold", peak_threshold,
            "in (0, 1)");
    require(paf_threshold >= 0 && paf_threshold < 1, "paf_threshold", paf_threshold, "in [0, 1)");
    require(min_paf_share >= 0 && min_paf_share < 1, "min_paf_share", min_paf_share, "in [0, 1)");
    require(min_parts >= 1, "min_parts", min_parts, "at least 1");
    require(min_score >= 0 && min_score <= 2, "min_score", min_score, "in [0, 2]");
    require(assignment == Assignment::greedy || assignment == Assignment::hungarian, "assignment",
            static_cast<double>(assignment), "greedy or hungarian");
    require(max_peaks >= 1 && max_peaks <= 4096, "max_peaks", max_peaks, "in [1, 4096]");
    require(max_people >= 0, "max_people", max_people, "at least 0");
}

}  // namespace openpose_ext
