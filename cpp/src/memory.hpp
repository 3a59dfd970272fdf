// What a Workspace holds: the scratch of every stage.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "openpose_ext/limbs.hpp"
#include "openpose_ext/workspace.hpp"

namespace openpose_ext {

struct PeakScratch {
    std::vector<std::int32_t> active, found;  // blocks and cells of a map to look at
    std::vector<float> rows;                  // of a map that is not packed float32
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
    std::vector<float> a_x, a_y, b_x, b_y;
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
        float rank, score;
        int limb, a, b;
    };
    std::vector<Link> links, sorted;
    std::vector<std::uint32_t> places;
    std::vector<int> owner;
    std::vector<std::uint8_t> foot;
    std::vector<int> limbs;
    std::vector<float> sizes;  // people x limbs: those that each person's limbs tell, sorted
    std::vector<int> told;     // how many
    std::vector<float> both;   // of two people
};

struct FillScratch {
    std::vector<int> since, tried;  // of one person's parts
};

struct DoublesScratch {
    struct Box {
        float left, right, top, bottom;
        float reach;  // how far from it a part may lie that is near one of the person's
    };
    std::vector<float> left, right, top, bottom, reach;  // of the people who are kept
    std::vector<std::uint8_t> close;
    std::vector<float> stature;
    std::vector<float> told;  // statures that one person's limbs tell
    std::vector<int> kept;
};

struct Workspace::Memory {
    PeakScratch peaks;
    ConnectScratch connect;
    AssembleScratch assemble;
    FillScratch fill;
    DoublesScratch doubles;
    std::vector<int> order;        // of the people, by score
    std::vector<float> heat, paf;  // maps that had to be packed
};

}  // namespace openpose_ext
