#include "checks.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace openpose_ext {

void check_view(const MapView& maps, const char* name, int channels) {
    if (maps.height() < 1 || maps.width() < 1) {
        throw std::invalid_argument(std::string(name) + " has no cells");
    }
    if (maps.channels() < channels) {
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(maps.channels()) +
                                    " channels; at least " + std::to_string(channels) +
                                    " are needed");
    }
    if (!maps.has_adjacent_rows()) {
        throw std::invalid_argument(std::string(name) +
                                    " has rows whose cells are not adjacent; pack() it first");
    }
}

void check_limb(const Limb& limb, int parts) {
    const bool joins_parts =
        limb.a >= 0 && limb.a < parts && limb.b >= 0 && limb.b < parts && limb.a != limb.b;
    if (!joins_parts) {
        throw std::invalid_argument("limb (" + std::to_string(limb.a) + ", " +
                                    std::to_string(limb.b) + ") does not join two of " +
                                    std::to_string(parts) + " parts");
    }
    if (limb.paf_x < 0 || limb.paf_y < 0) {
        throw std::invalid_argument("limb (" + std::to_string(limb.a) + ", " +
                                    std::to_string(limb.b) +
                                    ") has no field: its PAF channels are " +
                                    std::to_string(limb.paf_x) + ", " + std::to_string(limb.paf_y));
    }
}

void check_pairs(int count_a, int count_b, const std::vector<Connection>& connections) {
    for (const Connection& pair : connections) {
        const bool fits = pair.a >= 0 && pair.a < count_a && pair.b >= 0 && pair.b < count_b &&
                          pair.score > 0 && std::isfinite(pair.score);
        if (fits) continue;
        throw std::invalid_argument("connection (" + std::to_string(pair.a) + ", " +
                                    std::to_string(pair.b) + ") of score " +
                                    std::to_string(pair.score) + " does not join one of " +
                                    std::to_string(count_a) + " peaks to one of " +
                                    std::to_string(count_b) + " with a positive score");
    }
}

void check_people(const People& people, int parts) {
    const auto cells = static_cast<std::size_t>(people.count) * static_cast<std::size_t>(parts);
    if (people.parts != parts || people.keypoints.size() != 3 * cells ||
        people.filled.size() != cells ||
        people.scores.size() != static_cast<std::size_t>(people.count)) {
        throw std::invalid_argument("people of " + std::to_string(people.parts) +
                                    " parts in tables for " + std::to_string(people.count) +
                                    " do not fit a topology of " + std::to_string(parts) +
                                    " parts, or their tables disagree");
    }
    const auto finite = [](float value) { return std::isfinite(value); };
    if (!std::all_of(people.keypoints.begin(), people.keypoints.end(), finite) ||
        !std::all_of(people.scores.begin(), people.scores.end(), finite)) {
        throw std::invalid_argument("people have a number that is not finite");
    }
}

}  // namespace openpose_ext
