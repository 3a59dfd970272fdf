// What a Workspace holds: the scratch of every stage.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "openpose_ext/limbs.hpp"
#include "openpose_ext/workspace.hpp"

namespace openpose_ext {

struct PeakScratch {
    std::vector<std::int32_t> columns;
    std::vector<float> rows;    // three rows of half-precision maps, as float32
    std::vector<float> scores;  // of the peaks of one part, to find the weakest to keep
};

/// Pairs of peaks on trial, as arrays: the line from a to b, its unit vector, what was sampled.
inline constexpr int kBatch = 256;
struct PairBatch {
    int count = 0;
    std::array<std::int32_t, kBatch> a, b, above;
    std::array<float, kBatch> x, y, end_x, end_y, step_x, step_y, unit_x, unit_y, length, sum;
};

struct LimbScratch {
    std::vector<float> x, y;
    std::vector<std::int32_t> passes, found;
    PairBatch pairs;
};

struct AssignScratch {
    std::vector<char> used;
    std::vector<std::uint32_t> places;
    std::vector<Connection> sorted, chosen;
    // Of the groups that share peaks, and of peaks within them.
    std::vector<int> component, rows, columns, first, next, rank, order, column_of;
    // Of the assignment problem: prices of rows and columns, and the search for a path.
    std::vector<double> cost, u, v, costs, distance, previous, blocked, open;
    std::vector<int> row_of;
};

struct ConnectScratch {
    LimbScratch limb;
    AssignScratch assign;
    std::vector<Connection> pairs;
};

struct AssembleScratch {
    struct Link {
        bool redundant;
        float rank;
        int limb, a, b;
        float score;
    };
    std::vector<Link> links;
    std::vector<int> owner;
    std::vector<std::uint8_t> foot;
    std::vector<int> limbs;
    std::vector<std::vector<float>> sizes;  // that each person's limbs give, sorted
    std::vector<float> both;
};

struct DoublesScratch {
    struct Box {
        float left, right, top, bottom;
    };
    std::vector<Box> box;  // of each person's parts
    std::vector<float> stature;
    std::vector<float> told;  // statures that one person's limbs tell
    std::vector<int> kept;
};

struct Workspace::Memory {
    PeakScratch peaks;
    ConnectScratch connect;
    AssembleScratch assemble;
    DoublesScratch doubles;
    std::vector<int> order;        // of the people, by score
    std::vector<float> heat, paf;  // maps that had to be packed
};

}  // namespace openpose_ext
