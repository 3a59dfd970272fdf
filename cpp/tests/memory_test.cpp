// A program of its own, because it counts every allocation: none once a Decoder is warm, and no
// copy of half-precision maps.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"
#include "skeletons.hpp"

namespace {

std::size_t allocations = 0;
std::size_t bytes = 0;  // of all allocations, freed or not

}  // namespace

void* operator new(std::size_t size) {
    ++allocations;
    bytes += size;
    if (void* block = std::malloc(size)) return block;
    throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace openpose_ext {
namespace {

// Allocations of the second decode of the same pictures.
std::size_t warm_allocations(const DecodeOptions& options, Layout layout) {
    std::vector<testing::Picture> pictures;
    for (int people = 0; people < 4; ++people) {
        testing::Picture& picture = pictures.emplace_back(46, 82);
        for (int i = 0; i < people; ++i) {
            picture.draw(15.0f + 25.0f * static_cast<float>(i), 9, 26);
            // A weak part to fill, and more peaks than the options keep.
            picture.heat.blob(4, 3.0f + 9.0f * static_cast<float>(i), 42, 0.06f);
        }
    }
    Decoder decoder;
    const auto run = [&] {
        int people = 0;
        for (testing::Picture& picture : pictures) {
            const MapView heat(picture.heat.cells(), 19, 46, 82, layout);
            const MapView paf(picture.paf.cells(), 38, 46, 82, layout);
            people +=
                decoder.decode(heat, paf, coco_18(), Placement::network(8, heat), options).count;
        }
        return people;
    };
    const int expected = run();
    const std::size_t before = allocations;
    const int people = run();
    const std::size_t after = allocations;
    if (people != expected || (layout == Layout::planar && people < 5)) {
        std::printf("%d people, %d before\n", people, expected);
        std::exit(1);
    }
    return after - before;
}

// Bytes that a new Decoder allocates for half-precision maps of two people; the maps as float32
// are 46 x 82 x 57 x 4.
std::size_t bytes_for_halves() {
    testing::Picture picture(46, 82);
    picture.draw(15, 9, 26);
    picture.draw(45, 9, 26);
    const auto halves = [](const std::vector<float>& cells) {
        std::vector<float16> result;
        for (const float cell : cells) {
            // Towards zero: values in [-1, 1] of 11 bits.
            const auto bits = std::bit_cast<std::uint32_t>(cell);
            const int exponent = static_cast<int>((bits >> 23) & 0xff) - 112;
            const std::uint32_t rest =
                exponent > 0 ? (static_cast<std::uint32_t>(exponent) << 10) | (bits >> 13 & 0x3ff)
                             : 0;
            result.push_back(static_cast<float16>((bits >> 16 & 0x8000) | rest));
        }
        return result;
    };
    const std::vector<float16> heat = halves(picture.heat.cells());
    const std::vector<float16> paf = halves(picture.paf.cells());
    const MapView heats(heat, 19, 46, 82, Layout::planar);
    const MapView pafs(paf, 38, 46, 82, Layout::planar);
    const std::size_t before = bytes;
    Decoder decoder;
    if (decoder.decode(heats, pafs, coco_18(), Placement::network(8, heats)).count != 2) {
        std::printf("not two people\n");
        std::exit(1);
    }
    return bytes - before;
}

}  // namespace
}  // namespace openpose_ext

int main() {
    using namespace openpose_ext;
    (void)coco_18();
    std::size_t most = 0;
    for (const Layout layout : {Layout::planar, Layout::interleaved}) {
        for (const Assignment assignment : {Assignment::greedy, Assignment::hungarian}) {
            for (const int max_peaks : {256, 2}) {
                DecodeOptions options;
                options.assignment = assignment;
                options.max_peaks = max_peaks;
                const std::size_t count = warm_allocations(options, layout);
                std::printf("%zu allocations\n", count);
                most = count > most ? count : most;
            }
        }
    }
    const std::size_t halves = bytes_for_halves();
    std::printf("%zu bytes for half-precision maps\n", halves);
    const std::size_t copy = std::size_t{46} * 82 * 57 * sizeof(float);
    return most == 0 && halves < copy / 2 ? 0 : 1;
}
