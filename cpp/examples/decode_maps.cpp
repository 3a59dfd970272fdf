// Prints the people of a file of maps: int32 height and width, then float32 cells of 19 heat maps
// and 38 fields. A line a person: its score, then x, y and score of each part, in network pixels.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <vector>

#include "openpose_ext/decode.hpp"

// OpenPose's skeleton of 18 parts: the parts that each limb joins, and its first PAF channel.
constexpr int kLimbs[][3] = {{1, 2, 12},  {1, 5, 20},   {2, 3, 14},  {3, 4, 16},  {5, 6, 22},
                             {6, 7, 24},  {1, 8, 0},    {8, 9, 2},   {9, 10, 4},  {1, 11, 6},
                             {11, 12, 8}, {12, 13, 10}, {1, 0, 28},  {0, 14, 30}, {14, 16, 34},
                             {0, 15, 32}, {15, 17, 36}, {2, 16, 18}, {5, 17, 26}};

int main(int argc, char** argv) {
    openpose_ext::Topology topology{18, {}};
    for (const auto& [a, b, x] : kLimbs)
        topology.limbs.push_back({a, b, x, x + 1, x == 18 || x == 26});

    std::ifstream file(argc == 2 ? argv[1] : "", std::ios::binary);
    std::int32_t size[2] = {0, 0};
    file.read(reinterpret_cast<char*>(size), sizeof size);
    const auto [height, width] = size;
    if (!file || height < 1 || width < 1 || height > 10000 || width > 10000) return 2;
    std::vector<float> cells(std::size_t{57} * height * width);
    file.read(reinterpret_cast<char*>(cells.data()), std::streamsize(cells.size() * sizeof(float)));
    if (!file) return 2;

    const std::ptrdiff_t map = std::ptrdiff_t{height} * width;
    const openpose_ext::MapView heat{cells.data(), 19, height, width, map, width};
    const openpose_ext::MapView paf{cells.data() + 19 * map, 38, height, width, map, width};
    const openpose_ext::Placement placement{8, 3.5, 8, 3.5, 8 * width, 8 * height};
    openpose_ext::Decoder decoder;
    const openpose_ext::People& people = decoder.decode(heat, paf, topology, placement, {});
    for (int person = 0; person < people.count; ++person) {
        std::printf("%.9g", people.scores[person]);
        for (int i = 0; i < 3 * people.parts; ++i) {
            std::printf(" %.9g", people.keypoints[3 * people.parts * person + i]);
        }
        std::printf("\n");
    }
}
