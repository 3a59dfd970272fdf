// Decodes a file of maps in both modes and prints everything exactly, for a comparison with the
// Python package and the oracle on another kind of processor: int32 height and width, then float32
// cells of 19 heat maps and 38 fields. A line a person of the fast decoder (score, then x, y and
// score of each part), a line "reference", then the original rules' candidates (x, y, score) and
// subset, a line a row.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <span>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"
#include "openpose_ext/reference.hpp"

using namespace openpose_ext;

int main(int argc, char** argv) {
    std::ifstream file(argc == 2 ? argv[1] : "", std::ios::binary);
    std::int32_t size[2] = {0, 0};
    file.read(reinterpret_cast<char*>(size), sizeof size);
    const auto [height, width] = size;
    if (!file || height < 1 || width < 1 || height > 10000 || width > 10000) return 2;
    std::vector<float> cells(std::size_t{57} * height * width);
    file.read(reinterpret_cast<char*>(cells.data()), std::streamsize(cells.size() * sizeof(float)));
    if (!file) return 2;

    const std::span<const float> all(cells);
    const MapView heat(all.first(cells.size() / 3), 19, height, width);
    const MapView paf(all.last(cells.size() / 3 * 2), 38, height, width);
    Decoder decoder;
    for (const Person person : decoder.decode(heat, paf, coco_18(), Placement::network(8, heat))) {
        std::printf("%.9g", person.score());
        for (const Keypoint point : person) {
            std::printf(" %.9g %.9g %.9g", point.x, point.y, point.score);
        }
        std::printf("\n");
    }
    std::printf("reference\n");
    const reference::Result result =
        reference::decode(heat.as<float>(), paf.as<float>(), coco_18(), DecodeOptions::reference());
    for (const auto& one : result.candidates.all) {
        std::printf("%.17g %.17g %.17g\n", one.x, one.y, one.score);
    }
    for (std::size_t i = 0; i < result.subset.size(); ++i) {
        std::printf("%.17g%c", result.subset[i], i % 20 == 19 ? '\n' : ' ');
    }
}
