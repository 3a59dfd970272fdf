// Prints the people of a file of maps: int32 height and width, then float32 cells of 19 heat maps
// and 38 fields. A line a person: its score, then x, y and score of each part, in network pixels.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"
namespace op = openpose_ext;
int main(int argc, char** argv) {
    std::ifstream file(argc == 2 ? argv[1] : "", std::ios::binary);
    std::int32_t size[2] = {0, 0};
    file.read(reinterpret_cast<char*>(size), sizeof size);
    const auto [h, w] = size;
    if (!file || h < 1 || w < 1 || h > 10000 || w > 10000) return 2;
    std::vector<float> cells(std::size_t{57} * h * w);
    file.read(reinterpret_cast<char*>(cells.data()), std::streamsize(cells.size() * sizeof(float)));
    if (!file) return 2;
    const op::MapView heat{std::span(cells).first(cells.size() / 3), 19, h, w};
    const op::MapView paf{std::span(cells).last(cells.size() / 3 * 2), 38, h, w};
    op::Decoder decoder;
    for (const op::Person person :
         decoder.decode(heat, paf, op::coco_18(), op::Placement::network(8, heat))) {
        std::printf("%.9g", person.score());
        for (const auto part : person) std::printf(" %.9g %.9g %.9g", part.x, part.y, part.score);
        std::printf("\n");
    }
}
