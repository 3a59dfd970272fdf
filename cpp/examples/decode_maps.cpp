// Prints the people of a file of maps: int32 height and width, then float32 cells of 19 heat maps
// and 38 fields. A line a person: its score, then x, y and score of each part, in network pixels.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <span>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"

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
    const openpose_ext::MapView heat(all.first(cells.size() / 3), 19, height, width);
    const openpose_ext::MapView paf(all.last(cells.size() / 3 * 2), 38, height, width);
    openpose_ext::Decoder decoder;
    for (const openpose_ext::Person person : decoder.decode(
             heat, paf, openpose_ext::coco_18(), openpose_ext::Placement::network(8, heat))) {
        std::printf("%.9g", person.score());
        for (const auto point : person)
            std::printf(" %.9g %.9g %.9g", point.x, point.y, point.score);
        std::printf("\n");
    }
}
