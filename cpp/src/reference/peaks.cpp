#include "../strongest.hpp"
#include "openpose_ext/reference.hpp"
#include "smoother.hpp"

namespace openpose_ext::reference {

template <class T>
void find_peaks(Maps<T> heat, int parts, const DecodeOptions& options, Candidates& candidates) {
    candidates.all.clear();
    candidates.begin.assign(1, 0);
    Smoother map(heat.height, heat.width);
    std::vector<double> scores;
    for (int part = 0; part < parts; ++part) {
        map.smooth(heat, part);
        for (int y = 0; y < heat.height; ++y) {
            for (int x = 0; x < heat.width; ++x) {
                const double g = map.at(y, x);
                if (g > options.peak_threshold && g >= map.at(y - 1, x) && g >= map.at(y + 1, x) &&
                    g >= map.at(y, x - 1) && g >= map.at(y, x + 1)) {
                    candidates.all.push_back(
                        {static_cast<double>(x), static_cast<double>(y), map.heat(y, x)});
                }
            }
        }
        keep_strongest(candidates.all, static_cast<std::size_t>(candidates.begin.back()),
                       static_cast<std::size_t>(options.max_peaks), scores);
        candidates.begin.push_back(static_cast<int>(candidates.all.size()));
    }
}

template OPENPOSE_EXT_API void find_peaks(Maps<float>, int, const DecodeOptions&, Candidates&);
template OPENPOSE_EXT_API void find_peaks(Maps<double>, int, const DecodeOptions&, Candidates&);

}  // namespace openpose_ext::reference
