// A program of its own, because it counts every allocation: none once a Decoder is warm.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"
#include "skeletons.hpp"

namespace {

std::size_t allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
    ++allocations;
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
    return most == 0 ? 0 : 1;
}
