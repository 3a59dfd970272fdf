// Many pictures at once.
#pragma once

#include <span>
#include <vector>

#include "openpose_ext/decode.hpp"
#include "openpose_ext/export.hpp"

namespace openpose_ext {

/// One picture's maps and their placement.
struct Job {
    MapView heat;
    MapView paf;
    Placement placement;
};

/// Decodes every job, on at most `threads` threads; the people are those of one by one, in the
/// order of the jobs. A job that throws ends the whole: the exception of the first such job, by
/// order, is rethrown when all threads have ended.
/// Throws std::invalid_argument if threads < 1.
OPENPOSE_EXT_API std::vector<People> decode_many(std::span<const Job> jobs,
                                                 const Topology& topology,
                                                 const DecodeOptions& options, int threads);

}  // namespace openpose_ext
