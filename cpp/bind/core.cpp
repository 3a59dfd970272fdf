// The Python module: arrays in, arrays out, checks, the GIL released. No algorithm.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "openpose_ext/openpose_ext.hpp"
#include "openpose_ext/reference.hpp"

namespace openpose_ext::bind {

namespace {

using Pair = std::pair<int, int>;

Topology make_topology(int parts, const std::vector<Pair>& limbs,
                       const std::optional<std::vector<Pair>>& paf_channels,
                       const std::vector<int>& redundant, const std::vector<int>& feet,
                       const std::vector<float>& lengths, const std::vector<float>& sigmas) {
    Topology topology;
    topology.parts = parts;
    topology.feet = feet;
    topology.sigmas = sigmas;
    // Without fields nothing can be joined, whatever the limbs.
    if (paf_channels) {
        if (paf_channels->size() != limbs.size()) {
            throw py::value_error("each limb needs its pair of PAF channels");
        }
        for (std::size_t l = 0; l < limbs.size(); ++l) {
            topology.limbs.push_back({limbs[l].first, limbs[l].second, (*paf_channels)[l].first,
                                      (*paf_channels)[l].second, false});
        }
        for (const int l : redundant) {
            if (l < 0 || l >= static_cast<int>(topology.limbs.size())) {
                throw py::value_error("redundant limb " + std::to_string(l) + " does not exist");
            }
            topology.limbs[l].redundant = true;
        }
        if (!lengths.empty() && lengths.size() != limbs.size()) {
            throw py::value_error("each limb needs its length");
        }
        for (std::size_t l = 0; l < lengths.size(); ++l) topology.limbs[l].length = lengths[l];
    }
    topology.check();
    return topology;
}

DecodeOptions make_options(double peak_threshold, double paf_threshold, double min_paf_share,
                           int min_parts, double min_score, const std::string& assignment,
                           bool fill, int max_peaks, std::optional<int> max_people) {
    DecodeOptions options;
    options.peak_threshold = peak_threshold;
    options.paf_threshold = paf_threshold;
    options.min_paf_share = min_paf_share;
    options.min_parts = min_parts;
    options.min_score = min_score;
    if (assignment == "greedy") {
        options.assignment = Assignment::greedy;
    } else if (assignment == "hungarian") {
        options.assignment = Assignment::hungarian;
    } else {
        throw py::value_error("assignment must be 'greedy' or 'hungarian', not '" + assignment +
                              "'");
    }
    options.fill = fill;
    options.max_peaks = max_peaks;
    if (max_people && *max_people < 1) {
        throw py::value_error("max_people must be at least 1, or None for all, not " +
                              std::to_string(*max_people));
    }
    options.max_people = max_people.value_or(0);
    options.check();
    return options;
}

// (scale_x, shift_x, scale_y, shift_y) and (width, height).
using Affine = std::tuple<double, double, double, double>;
using Size = std::pair<int, int>;

Placement as_placement(const Affine& affine, const Size& size) {
    return {std::get<0>(affine), std::get<1>(affine), std::get<2>(affine),
            std::get<3>(affine), size.first,          size.second};
}

// (keypoints, scores, filled), read-only.
py::tuple to_python(const People& people) {
    const py::ssize_t count = people.count;
    const py::ssize_t parts = people.parts;
    py::array_t<bool> filled({count, parts});
    std::copy(people.filled.begin(), people.filled.end(), filled.mutable_data());
    return py::make_tuple(as_fixed(as_array(people.keypoints, {count, parts, 3})),
                          as_fixed(as_array(people.scores, {count})), as_fixed(filled));
}

// The people that `to_python` wrote. Throws ValueError for other shapes.
using Table = py::array_t<float, py::array::c_style | py::array::forcecast>;
using PeopleArguments =
    std::tuple<Table, Table, py::array_t<bool, py::array::c_style | py::array::forcecast>>;

People as_people(const PeopleArguments& arguments) {
    const auto& [keypoints, scores, filled] = arguments;
    if (keypoints.ndim() != 3 || keypoints.shape(2) != 3 || scores.ndim() != 1 ||
        filled.ndim() != 2 || filled.shape(1) != keypoints.shape(1) ||
        scores.shape(0) != keypoints.shape(0) || filled.shape(0) != keypoints.shape(0)) {
        throw py::value_error("people must be keypoints (P, K, 3), scores (P,) and filled (P, K)");
    }
    People people;
    people.count = static_cast<int>(keypoints.shape(0));
    people.parts = static_cast<int>(keypoints.shape(1));
    people.keypoints.assign(keypoints.data(), keypoints.data() + keypoints.size());
    people.scores.assign(scores.data(), scores.data() + scores.size());
    people.filled.assign(filled.data(), filled.data() + filled.size());
    return people;
}

py::tuple decode(const py::array& heat, const py::array& paf, const Topology& topology,
                 const Affine& affine, const Size& size, const DecodeOptions& options) {
    thread_local Decoder decoder;
    const Held<MapView> heats = as_view(heat, "heat");
    const Held<MapView> pafs = as_view(paf, "paf");
    const People* people = nullptr;
    {
        const py::gil_scoped_release release;
        people =
            &decoder.decode(heats.view, pafs.view, topology, as_placement(affine, size), options);
    }
    return to_python(*people);
}

using JobArguments = std::tuple<py::array, py::array, Affine, Size>;

py::list decode_jobs(const std::vector<JobArguments>& arguments, const Topology& topology,
                     const DecodeOptions& options, int threads) {
    std::vector<Held<MapView>> held;
    std::vector<Job> jobs;
    for (const auto& [heat, paf, affine, size] : arguments) {
        const Held<MapView>& heats = held.emplace_back(as_view(heat, "heat"));
        const MapView heat_view = heats.view;
        const Held<MapView>& pafs = held.emplace_back(as_view(paf, "paf"));
        jobs.push_back({heat_view, pafs.view, as_placement(affine, size)});
    }
    std::vector<People> people;
    {
        const py::gil_scoped_release release;
        people = decode_many(jobs, topology, options, threads);
    }
    py::list result;
    for (const People& one : people) result.append(to_python(one));
    return result;
}

py::list find_peaks_of(const py::array& heat, const Topology& topology,
                       const DecodeOptions& options) {
    const Held<MapView> heats = as_view(heat, "heat", true);
    if (heats.view.channels() < topology.parts) {
        throw py::value_error("heat has " + std::to_string(heats.view.channels()) +
                              " channels; the topology has " + std::to_string(topology.parts) +
                              " parts");
    }
    Peaks peaks;
    {
        const py::gil_scoped_release release;
        Workspace workspace;
        find_peaks(heats.view, topology.parts, options, workspace, peaks);
    }
    py::list result;
    for (int part = 0; part < topology.parts; ++part) {
        py::array_t<float> rows({static_cast<py::ssize_t>(peaks.count(part)), py::ssize_t{3}});
        auto cells = rows.mutable_unchecked<2>();
        for (int i = 0; i < peaks.count(part); ++i) {
            const Peak& peak = peaks.of(part)[i];
            cells(i, 0) = peak.x;
            cells(i, 1) = peak.y;
            cells(i, 2) = peak.score;
        }
        result.append(rows);
    }
    return result;
}

Peaks as_peaks(
    const std::vector<py::array_t<float, py::array::c_style | py::array::forcecast>>& parts,
    const Topology& topology, const MapView& paf) {
    if (static_cast<int>(parts.size()) != topology.parts) {
        throw py::value_error("peaks has " + std::to_string(parts.size()) +
                              " parts; the topology " + std::to_string(topology.parts));
    }
    Peaks peaks;
    peaks.begin.assign(1, 0);
    for (const auto& rows : parts) {
        if (rows.ndim() != 2 || rows.shape(1) != 3) {
            throw py::value_error("the peaks of a part must be (n, 3): x, y, score");
        }
        const auto cells = rows.unchecked<2>();
        for (py::ssize_t i = 0; i < rows.shape(0); ++i) {
            const Peak peak{cells(i, 0), cells(i, 1), cells(i, 2)};
            const bool inside =
                peak.x >= -0.5f && peak.x <= static_cast<float>(paf.width()) - 0.5f &&
                peak.y >= -0.5f && peak.y <= static_cast<float>(paf.height()) - 0.5f;
            if (!inside) throw py::value_error("a peak lies outside the maps");
            peaks.all.push_back(peak);
        }
        peaks.begin.push_back(static_cast<int>(peaks.all.size()));
    }
    return peaks;
}

py::list connect(
    const std::vector<py::array_t<float, py::array::c_style | py::array::forcecast>>& part_peaks,
    const py::array& paf, const Topology& topology, const DecodeOptions& options) {
    const Held<MapView> pafs = as_view(paf, "paf", true);
    if (pafs.view.channels() != topology.paf_channels()) {
        throw py::value_error("paf has " + std::to_string(pafs.view.channels()) +
                              " channels; the limbs need " +
                              std::to_string(topology.paf_channels()));
    }
    const Peaks peaks = as_peaks(part_peaks, topology, pafs.view);
    std::vector<std::vector<Connection>> connections;
    {
        const py::gil_scoped_release release;
        Workspace workspace;
        openpose_ext::connect(pafs.view, topology, peaks, options, workspace, connections);
    }
    py::list result;
    for (const auto& pairs : connections) {
        py::array_t<float> rows({static_cast<py::ssize_t>(pairs.size()), py::ssize_t{3}});
        auto cells = rows.mutable_unchecked<2>();
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            const auto row = static_cast<py::ssize_t>(i);
            cells(row, 0) = static_cast<float>(pairs[i].a);
            cells(row, 1) = static_cast<float>(pairs[i].b);
            cells(row, 2) = pairs[i].score;
        }
        result.append(rows);
    }
    return result;
}

py::array_t<int> solve_assignment_of(
    const py::array_t<double, py::array::c_style | py::array::forcecast>& cost) {
    if (cost.ndim() != 2 || cost.shape(0) > cost.shape(1)) {
        throw py::value_error("cost must be (rows, columns) with no more rows than columns");
    }
    Workspace workspace;
    std::vector<int> column_of;
    {
        const py::gil_scoped_release release;
        solve_assignment({cost.data(), static_cast<std::size_t>(cost.size())},
                         static_cast<int>(cost.shape(0)), static_cast<int>(cost.shape(1)),
                         workspace, column_of);
    }
    return as_array(column_of, {cost.shape(0)});
}

py::tuple to_python(const reference::Result& result, int parts) {
    const auto& all = result.candidates.all;
    py::array_t<double> candidates({static_cast<py::ssize_t>(all.size()), py::ssize_t{4}});
    auto candidate = candidates.mutable_unchecked<2>();
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto row = static_cast<py::ssize_t>(i);
        candidate(row, 0) = all[i].x;
        candidate(row, 1) = all[i].y;
        candidate(row, 2) = all[i].score;
        candidate(row, 3) = static_cast<double>(i);
    }
    py::list connections;
    for (const auto& links : result.links) {
        py::array_t<double> rows({static_cast<py::ssize_t>(links.size()), py::ssize_t{5}});
        auto cells = rows.mutable_unchecked<2>();
        for (std::size_t i = 0; i < links.size(); ++i) {
            const auto row = static_cast<py::ssize_t>(i);
            cells(row, 0) = links[i].id_a;
            cells(row, 1) = links[i].id_b;
            cells(row, 2) = links[i].score;
            cells(row, 3) = links[i].a;
            cells(row, 4) = links[i].b;
        }
        connections.append(rows);
    }
    const auto columns = static_cast<py::ssize_t>(parts) + 2;
    const auto rows = static_cast<py::ssize_t>(result.subset.size()) / columns;
    return py::make_tuple(candidates, connections, as_array(result.subset, {rows, columns}));
}

template <class T>
py::tuple decode_reference_as(const py::array& heat, const py::array& paf, const Topology& topology,
                              const DecodeOptions& options) {
    const Held<Maps<T>> heats = as_maps<T>(heat, "heat");
    const Held<Maps<T>> pafs = as_maps<T>(paf, "paf");
    reference::Result result;
    {
        const py::gil_scoped_release release;
        result = reference::decode(heats.view, pafs.view, topology, options);
    }
    return to_python(result, topology.parts);
}

py::tuple decode_reference(const py::array& heat, const py::array& paf, const Topology& topology,
                           const std::optional<DecodeOptions>& options) {
    for (const auto& [array, name] : {std::pair{&heat, "heat"}, std::pair{&paf, "paf"}}) {
        if (!is_float(*array, 4) && !is_float(*array, 8)) {
            refuse_dtype(*array, name, "float32 or float64");
        }
    }
    const DecodeOptions chosen = options.value_or(DecodeOptions::reference());
    const bool both_float = is_float(heat, 4) && is_float(paf, 4);
    return both_float ? decode_reference_as<float>(heat, paf, topology, chosen)
                      : decode_reference_as<double>(heat, paf, topology, chosen);
}

// Points as rows x, y, score.
template <class Number, class Point>
py::array_t<Number> as_rows(const std::vector<Point>& points) {
    py::array_t<Number> rows({static_cast<py::ssize_t>(points.size()), py::ssize_t{3}});
    auto cells = rows.template mutable_unchecked<2>();
    for (std::size_t i = 0; i < points.size(); ++i) {
        const auto row = static_cast<py::ssize_t>(i);
        cells(row, 0) = points[i].x;
        cells(row, 1) = points[i].y;
        cells(row, 2) = points[i].score;
    }
    return rows;
}

py::array_t<float> decode_hand_of(const py::array& heat, const Affine& affine, const Size& size) {
    const Held<MapView> heats = as_view(heat, "heat");
    std::vector<Peak> points;
    {
        const py::gil_scoped_release release;
        points = decode_hand(heats.view, as_placement(affine, size));
    }
    return as_rows<float>(points);
}

py::array_t<float> decode_points_of(const py::array& heat, int points, const Affine& affine,
                                    const Size& size) {
    const Held<MapView> heats = as_view(heat, "heat");
    std::vector<Peak> found;
    {
        const py::gil_scoped_release release;
        found = decode_points(heats.view, points, as_placement(affine, size));
    }
    return as_rows<float>(found);
}

template <class T>
py::array_t<double> decode_hand_reference_as(const py::array& heat) {
    const Held<Maps<T>> heats = as_maps<T>(heat, "heat");
    std::vector<reference::Candidate> points;
    {
        const py::gil_scoped_release release;
        points = reference::find_hand(heats.view);
    }
    return as_rows<double>(points);
}

py::array_t<double> decode_hand_reference(const py::array& heat) {
    if (!is_float(heat, 4) && !is_float(heat, 8)) refuse_dtype(heat, "heat", "float32 or float64");
    return is_float(heat, 4) ? decode_hand_reference_as<float>(heat)
                             : decode_hand_reference_as<double>(heat);
}

// Each region as ((left, top, width, height), (network width, height), (content width, height),
// [people], (input, left, top)).
py::list find_regions_of(const PeopleArguments& arguments, const Topology& topology,
                         const Size& size, double stature, double pixels, double margin, int step,
                         const std::optional<Size>& fixed_size) {
    const People people = as_people(arguments);
    RegionOptions options;
    options.stature = stature;
    options.pixels = pixels;
    options.margin = margin;
    options.step = step;
    if (fixed_size) std::tie(options.fixed_width, options.fixed_height) = *fixed_size;
    std::vector<Region> regions;
    {
        const py::gil_scoped_release release;
        regions = find_regions(people, topology, size.first, size.second, options);
    }
    py::list result;
    for (const Region& region : regions) {
        result.append(py::make_tuple(
            py::make_tuple(region.left, region.top, region.width, region.height),
            py::make_tuple(region.network_width, region.network_height),
            py::make_tuple(region.content_width, region.content_height), region.people,
            py::make_tuple(region.input, region.input_left, region.input_top)));
    }
    return result;
}

py::tuple unite_looks(const PeopleArguments& first,
                      const std::vector<std::pair<PeopleArguments, std::vector<int>>>& closer,
                      const Topology& topology, std::optional<int> max_people) {
    const People known = as_people(first);
    std::vector<Closer> looks;
    for (const auto& [people, whom] : closer) looks.push_back({as_people(people), whom});
    People united;
    {
        const py::gil_scoped_release release;
        united = unite(known, looks, topology, max_people.value_or(0));
    }
    return to_python(united);
}

// Each of them as (look, person, score).
std::vector<std::tuple<int, int, float>> best_of_turned_looks(
    const std::vector<PeopleArguments>& arguments, const Topology& topology) {
    std::vector<People> looks;
    for (const PeopleArguments& people : arguments) looks.push_back(as_people(people));
    std::vector<std::tuple<int, int, float>> best;
    {
        const py::gil_scoped_release release;
        for (const auto& [look, person, score] : best_of_turns(looks, topology)) {
            best.emplace_back(look, person, score);
        }
    }
    return best;
}

using PassArguments = std::tuple<py::array, Affine, std::vector<int>, std::vector<float>>;

py::array_t<float> merge_passes(const std::vector<PassArguments>& arguments, const Size& size,
                                const std::vector<double>& weights) {
    if (!weights.empty() && weights.size() != arguments.size()) {
        throw py::value_error(std::to_string(arguments.size()) +
                              " passes need as many weights, not " +
                              std::to_string(weights.size()));
    }
    std::vector<Held<MapView>> held;
    std::vector<Pass> passes;
    for (const auto& [array, affine, channel, sign] : arguments) {
        held.push_back(as_view(array, "a pass"));
        passes.push_back({held.back().view, std::get<0>(affine), std::get<1>(affine),
                          std::get<2>(affine), std::get<3>(affine), channel, sign});
    }
    for (std::size_t i = 0; i < weights.size(); ++i) passes[i].weight = weights[i];
    if (passes.empty() || size.first < 1 || size.second < 1) {
        throw py::value_error("at least one pass and one cell are needed");
    }
    const auto channels = static_cast<py::ssize_t>(passes.front().channel.size());
    py::array_t<float> merged(
        {channels, static_cast<py::ssize_t>(size.second), static_cast<py::ssize_t>(size.first)});
    const std::span<float> out(merged.mutable_data(), static_cast<std::size_t>(merged.size()));
    {
        const py::gil_scoped_release release;
        merge(passes, static_cast<int>(channels), size.second, size.first, out);
    }
    return merged;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
    module.doc() = "The C++ core: peaks, limbs, assignment, people.";

    py::class_<Topology>(module, "Topology")
        .def(py::init(&make_topology), py::arg("parts"), py::arg("limbs"), py::arg("paf_channels"),
             py::arg("redundant"), py::arg("feet") = std::vector<int>{},
             py::arg("lengths") = std::vector<float>{}, py::arg("sigmas") = std::vector<float>{});

    py::class_<DecodeOptions>(module, "DecodeOptions")
        .def(py::init(&make_options), py::kw_only(), py::arg("peak_threshold"),
             py::arg("paf_threshold"), py::arg("min_paf_share"), py::arg("min_parts"),
             py::arg("min_score"), py::arg("assignment"), py::arg("fill"), py::arg("max_peaks"),
             py::arg("max_people"));

    module.def("decode", &decode, py::arg("heat"), py::arg("paf"), py::arg("topology"),
               py::arg("affine"), py::arg("size"), py::arg("options"));
    module.def("decode_many", &decode_jobs, py::arg("jobs"), py::arg("topology"),
               py::arg("options"), py::arg("threads"));
    module.def("find_peaks", &find_peaks_of, py::arg("heat"), py::arg("topology"),
               py::arg("options"));
    module.def("connect", &connect, py::arg("peaks"), py::arg("paf"), py::arg("topology"),
               py::arg("options"));
    module.def("solve_assignment", &solve_assignment_of, py::arg("cost"));
    module.def("merge", &merge_passes, py::arg("passes"), py::arg("size"),
               py::arg("weights") = std::vector<double>{});
    module.def("find_regions", &find_regions_of, py::arg("people"), py::arg("topology"),
               py::arg("size"), py::kw_only(), py::arg("stature"), py::arg("pixels"),
               py::arg("margin"), py::arg("step"), py::arg("fixed_size") = py::none());
    module.def("unite", &unite_looks, py::arg("first"), py::arg("closer"), py::arg("topology"),
               py::arg("max_people") = py::none());
    module.def("best_of_turns", &best_of_turned_looks, py::arg("looks"), py::arg("topology"));
    module.def("decode_hand", &decode_hand_of, py::arg("heat"), py::arg("affine"), py::arg("size"));
    module.def("decode_points", &decode_points_of, py::arg("heat"), py::arg("points"),
               py::arg("affine"), py::arg("size"));
    module.def("decode_hand_reference", &decode_hand_reference, py::arg("heat"));
    module.def("decode_reference", &decode_reference, py::arg("heat"), py::arg("paf"),
               py::arg("topology"), py::arg("options") = py::none());
}

}  // namespace openpose_ext::bind
