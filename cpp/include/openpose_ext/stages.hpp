// The stages of the decoder, each to be called on its own:
//
//     Workspace workspace;
//     Peaks peaks;
//     find_peaks(heat, topology.parts, options, workspace, peaks);                 1  maxima
//     std::vector<std::vector<Connection>> connections;
//     connect(paf, topology, peaks, options, workspace, connections);              2  + 3
//         score_limb(paf, limb, peaks, options, workspace, pairs);                 2  integrals
//         assign_greedy(count_a, count_b, workspace, pairs);                       3  or Hungarian
//     Assembly assembly;
//     assemble(peaks, topology, connections, options, workspace, assembly);        4  people
//     Filled filled;
//     fill(heat, paf, peaks, topology, assembly, workspace, filled);               5  weak parts
//
// `Decoder` runs them in this order. Every stage checks what it is given and throws
// std::invalid_argument that says what was found and expected; maps need rows of adjacent cells
// (`pack` brings others there). Results are the last argument and reused, as is the workspace.
#pragma once

#include "openpose_ext/assemble.hpp"
#include "openpose_ext/assign.hpp"
#include "openpose_ext/fill.hpp"
#include "openpose_ext/limbs.hpp"
#include "openpose_ext/peaks.hpp"
#include "openpose_ext/workspace.hpp"
