// Time of each stage, by map size and number of people: what the stages before it gave is its
// input.
#include <benchmark/benchmark.h>

#include <vector>

#include "crowd.hpp"
#include "openpose_ext/decode.hpp"

namespace openpose_ext::bench {
namespace {

// A crowd and what every stage makes of it.
struct Scene {
    Picture picture;
    DecodeOptions options;
    Decoder decoder;
    People people;
    Workspace workspace;
    Assembly assembly;

    explicit Scene(const benchmark::State& state, bool hungarian = false)
        : picture(crowd(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)),
                        static_cast<int>(state.range(2)))) {
        if (hungarian) options.assignment = Assignment::hungarian;
        people = decoder.decode(heat(), paf(), topology(), placement_of(picture), options);
        assemble(decoder.peaks(), topology(), decoder.connections(), options, workspace, assembly);
    }

    [[nodiscard]] MapView heat() const { return picture.heat.view(); }
    [[nodiscard]] MapView paf() const { return picture.paf.view(); }
    [[nodiscard]] const Topology& topology() const { return picture.topology; }
    // People hide each other; fewer than two thirds would be another workload than the name says.
    [[nodiscard]] bool is_right(const benchmark::State& state) const {
        return 3 * people.count >= 2 * state.range(2) && people.count <= 2 * state.range(2);
    }
};

void peaks(benchmark::State& state) {
    const Scene scene(state);
    Workspace workspace;
    Peaks found;
    for (auto _ : state) {
        find_peaks(scene.heat(), scene.topology().parts, scene.options, workspace, found);
        benchmark::DoNotOptimize(found.all.data());
    }
    state.counters["peaks"] = static_cast<double>(found.all.size());
}

// Limb scores and assignment; the greedy one costs next to nothing.
void limbs(benchmark::State& state) {
    const Scene scene(state, state.range(3) != 0);
    Workspace workspace;
    std::vector<std::vector<Connection>> found;
    for (auto _ : state) {
        connect(scene.paf(), scene.topology(), scene.decoder.peaks(), scene.options, workspace,
                found);
        benchmark::DoNotOptimize(found.data());
    }
    double pairs = 0;
    for (const auto& limb : found) pairs += static_cast<double>(limb.size());
    state.counters["pairs"] = pairs;
}

void people(benchmark::State& state) {
    Scene scene(state);
    for (auto _ : state) {
        assemble(scene.decoder.peaks(), scene.topology(), scene.decoder.connections(),
                 scene.options, scene.workspace, scene.assembly);
        benchmark::DoNotOptimize(scene.assembly.peak.data());
    }
    state.counters["people"] = scene.assembly.people;
}

void weak_parts(benchmark::State& state) {
    const Scene scene(state);
    Workspace workspace;
    Filled filled;
    for (auto _ : state) {
        fill(scene.heat(), scene.paf(), scene.decoder.peaks(), scene.topology(), scene.assembly,
             workspace, filled);
        benchmark::DoNotOptimize(filled.at.data());
    }
    double found = 0;
    for (const Peak& part : filled.at) found += static_cast<double>(part.score > 0);
    state.counters["filled"] = found;
}

void everything(benchmark::State& state) {
    Scene scene(state, state.range(3) != 0);
    if (!scene.is_right(state)) state.SkipWithError("not the people that were drawn");
    const Placement placement = placement_of(scene.picture);
    for (auto _ : state) {
        benchmark::DoNotOptimize(&scene.decoder.decode(scene.heat(), scene.paf(), scene.topology(),
                                                       placement, scene.options));
    }
    state.counters["people"] = scene.people.count;
}

constexpr int kCrowds[][3] = {{46, 82, 1},  {46, 82, 5},  {46, 82, 20}, {46, 82, 100},
                              {92, 164, 1}, {92, 164, 5}, {92, 164, 20}};

void plain(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgNames({"height", "width", "people"})->Unit(benchmark::kMicrosecond);
    for (const auto& [height, width, people] : kCrowds) benchmark->Args({height, width, people});
}

void assigned(benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgNames({"height", "width", "people", "hungarian"});
    benchmark->Unit(benchmark::kMicrosecond);
    for (const auto& [height, width, people] : kCrowds) {
        for (const int hungarian : {0, 1}) benchmark->Args({height, width, people, hungarian});
    }
}

BENCHMARK(peaks)->Apply(plain);
BENCHMARK(limbs)->Apply(assigned);
BENCHMARK(people)->Apply(plain);
BENCHMARK(weak_parts)->Apply(plain);
BENCHMARK(everything)->Apply(assigned);

}  // namespace
}  // namespace openpose_ext::bench
