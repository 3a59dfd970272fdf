// Memory of a Decoder beyond its inputs: every byte it holds at most while and after it decodes a
// picture, its result included, counted by the allocator itself.
//
//     openpose_scratch [MAPS...]
//
// prints a line for each built-in workload, or for each file as cpp/examples/decode_maps.cpp reads
// them. Exit code 1 if any takes more than 2 MB.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <new>
#include <string>

#include "crowd.hpp"
#include "openpose_ext/decode.hpp"

namespace {

std::size_t held = 0;
std::size_t most = 0;
constexpr std::size_t kHeader = alignof(std::max_align_t);  // the size, before each block

}  // namespace

void* operator new(std::size_t size) {
    void* block = std::malloc(size + kHeader);
    if (block == nullptr) throw std::bad_alloc();
    *static_cast<std::size_t*>(block) = size;
    held += size;
    most = std::max(most, held);
    return static_cast<char*>(block) + kHeader;
}

void operator delete(void* block) noexcept {
    if (block == nullptr) return;
    void* start = static_cast<char*>(block) - kHeader;
    held -= *static_cast<std::size_t*>(start);
    std::free(start);
}
void operator delete(void* block, std::size_t) noexcept { operator delete(block); }

namespace openpose_ext::bench {
namespace {

constexpr std::size_t kLimit = 2 << 20;

// Prints what decoding takes; true if it stays within the limit.
bool measure(const std::string& name, const Picture& picture) {
    bool within = true;
    for (const Assignment assignment : {Assignment::greedy, Assignment::hungarian}) {
        DecodeOptions options;
        options.assignment = assignment;
        const std::size_t before = held;
        most = held;
        const auto decoder = std::make_unique<Decoder>();
        int people = 0;
        for (int run = 0; run < 3; ++run) {
            people = decoder
                         ->decode(picture.heat.view(), picture.paf.view(), picture.topology,
                                  placement_of(picture), options)
                         .count;
        }
        std::printf("%-12s %-10s %4d people %9zu bytes at most, %9zu kept\n", name.c_str(),
                    assignment == Assignment::greedy ? "greedy" : "hungarian", people,
                    most - before, held - before);
        within &= most - before <= kLimit;
    }
    return within;
}

Picture read(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::int32_t size[2] = {0, 0};
    file.read(reinterpret_cast<char*>(size), sizeof size);
    if (!file || size[0] < 1 || size[1] < 1 || size[0] > 4096 || size[1] > 4096) {
        std::fprintf(stderr, "%s: no maps\n", path);
        std::exit(2);
    }
    Picture picture(size[0], size[1]);
    for (Canvas* maps : {&picture.heat, &picture.paf}) {
        auto& cells = maps->cells();
        file.read(reinterpret_cast<char*>(cells.data()),
                  static_cast<std::streamsize>(cells.size() * sizeof(float)));
    }
    return picture;
}

}  // namespace
}  // namespace openpose_ext::bench

int main(int argc, char** argv) {
    using namespace openpose_ext::bench;
    bool within = true;
    for (int i = 1; i < argc; ++i) within &= measure(argv[i], read(argv[i]));
    if (argc == 1) {
        constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
        within &= measure("crowd5", crowd(46, 82, 5));
        within &= measure("crowd20", crowd(46, 82, 20));
        within &= measure("crowd100", crowd(46, 82, 100));
        within &= measure("crowd20_hd", crowd(92, 164, 20));
        within &= measure("noise", noise(92, 164));
        within &= measure("ones", flat(92, 164, 1));
        within &= measure("nan", flat(92, 164, kNan));
    }
    return within ? 0 : 1;
}
