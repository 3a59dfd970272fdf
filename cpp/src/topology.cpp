#include "openpose_ext/topology.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace openpose_ext {

namespace {

constexpr int kChannels = 1 << 20;  // more than any network has, and far from overflow

}  // namespace

int Topology::paf_channels() const {
    int channels = 0;
    for (const Limb& limb : limbs) channels = std::max({channels, limb.paf_x + 1, limb.paf_y + 1});
    return channels;
}

void Topology::check() const {
    if (parts < 1) throw std::invalid_argument("a topology needs at least one part");
    for (std::size_t l = 0; l < limbs.size(); ++l) {
        const Limb& limb = limbs[l];
        const bool joins_parts =
            limb.a >= 0 && limb.a < parts && limb.b >= 0 && limb.b < parts && limb.a != limb.b;
        if (!joins_parts) {
            throw std::invalid_argument("limb " + std::to_string(l) + " (" +
                                        std::to_string(limb.a) + ", " + std::to_string(limb.b) +
                                        ") does not join two of " + std::to_string(parts) +
                                        " parts");
        }
        const bool drawn_only = limb.paf_x == -1 && limb.paf_y == -1;
        if (drawn_only) continue;
        if (std::min(limb.paf_x, limb.paf_y) < 0 || std::max(limb.paf_x, limb.paf_y) >= kChannels) {
            throw std::invalid_argument("limb " + std::to_string(l) + " has PAF channels " +
                                        std::to_string(limb.paf_x) + ", " +
                                        std::to_string(limb.paf_y));
        }
        if (!(limb.length >= 0) || !std::isfinite(limb.length)) {
            throw std::invalid_argument("limb " + std::to_string(l) + " has the length " +
                                        std::to_string(limb.length));
        }
    }
    for (const int foot : feet) {
        if (foot >= 0 && foot < parts) continue;
        throw std::invalid_argument("foot " + std::to_string(foot) + " is none of " +
                                    std::to_string(parts) + " parts");
    }
    if (!sigmas.empty() && sigmas.size() != static_cast<std::size_t>(parts)) {
        throw std::invalid_argument("there are " + std::to_string(sigmas.size()) + " sigmas for " +
                                    std::to_string(parts) + " parts");
    }
    for (const float sigma : sigmas) {
        if (sigma > 0 && std::isfinite(sigma)) continue;
        throw std::invalid_argument("the sigma " + std::to_string(sigma) + " is not positive");
    }
}

// Part and limb order of OpenPose's networks (Cao et al.); python/openpose_ext has the same.

const Topology& coco_18() {
    static const Topology topology{
        18,
        {{1, 2, 12, 13, false, 0.3f},
         {1, 5, 20, 21, false, 0.3f},
         {2, 3, 14, 15, false, 0.55f},
         {3, 4, 16, 17, false, 0.48f},
         {5, 6, 22, 23, false, 0.55f},
         {6, 7, 24, 25, false, 0.48f},
         {1, 8, 0, 1, false, 1.0f},
         {8, 9, 2, 3, false, 0.73f},
         {9, 10, 4, 5, false, 0.75f},
         {1, 11, 6, 7, false, 1.0f},
         {11, 12, 8, 9, false, 0.73f},
         {12, 13, 10, 11, false, 0.75f},
         {1, 0, 28, 29, false, 0.35f},
         {0, 14, 30, 31, false, 0.1f},
         {14, 16, 34, 35, false, 0.16f},
         {0, 15, 32, 33, false, 0.1f},
         {15, 17, 36, 37, false, 0.16f},
         {2, 16, 18, 19, true, 0.38f},
         {5, 17, 26, 27, true, 0.38f}},
        {},
        {"Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip",
         "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar"},
        {0.026f, 0.079f, 0.079f, 0.072f, 0.062f, 0.079f, 0.072f, 0.062f, 0.107f, 0.087f, 0.089f,
         0.107f, 0.087f, 0.089f, 0.025f, 0.025f, 0.035f, 0.035f}};
    return topology;
}

const Topology& body_25() {
    static const Topology topology{
        25,
        {{1, 8, 0, 1, false, 0.97f},     {1, 2, 14, 15, false, 0.3f},
         {1, 5, 22, 23, false, 0.3f},    {2, 3, 16, 17, false, 0.55f},
         {3, 4, 18, 19, false, 0.48f},   {5, 6, 24, 25, false, 0.55f},
         {6, 7, 26, 27, false, 0.48f},   {8, 9, 6, 7, false, 0.23f},
         {9, 10, 2, 3, false, 0.73f},    {10, 11, 4, 5, false, 0.75f},
         {8, 12, 8, 9, false, 0.23f},    {12, 13, 10, 11, false, 0.73f},
         {13, 14, 12, 13, false, 0.75f}, {1, 0, 30, 31, false, 0.35f},
         {0, 15, 32, 33, false, 0.1f},   {15, 17, 36, 37, false, 0.16f},
         {0, 16, 34, 35, false, 0.1f},   {16, 18, 38, 39, false, 0.16f},
         {2, 17, 20, 21, true, 0.38f},   {5, 18, 28, 29, true, 0.38f},
         {14, 19, 40, 41, false, 0},     {19, 20, 42, 43, false, 0},
         {14, 21, 44, 45, false, 0},     {11, 22, 46, 47, false, 0},
         {22, 23, 48, 49, false, 0},     {11, 24, 50, 51, false, 0}},
        {19, 20, 21, 22, 23, 24},
        {"Nose",   "Neck",    "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow",
         "LWrist", "MidHip",  "RHip",      "RKnee",  "RAnkle", "LHip",      "LKnee",
         "LAnkle", "REye",    "LEye",      "REar",   "LEar",   "LBigToe",   "LSmallToe",
         "LHeel",  "RBigToe", "RSmallToe", "RHeel"},
        {0.026f, 0.079f, 0.079f, 0.072f, 0.062f, 0.079f, 0.072f, 0.062f, 0.107f,
         0.107f, 0.087f, 0.089f, 0.107f, 0.087f, 0.089f, 0.025f, 0.025f, 0.035f,
         0.035f, 0.068f, 0.066f, 0.066f, 0.092f, 0.094f, 0.094f}};
    return topology;
}

const Topology& hand_21() {
    static const Topology topology{
        21,
        {{0, 1, -1, -1},   {1, 2, -1, -1},   {2, 3, -1, -1},   {3, 4, -1, -1},   {0, 5, -1, -1},
         {5, 6, -1, -1},   {6, 7, -1, -1},   {7, 8, -1, -1},   {0, 9, -1, -1},   {9, 10, -1, -1},
         {10, 11, -1, -1}, {11, 12, -1, -1}, {0, 13, -1, -1},  {13, 14, -1, -1}, {14, 15, -1, -1},
         {15, 16, -1, -1}, {0, 17, -1, -1},  {17, 18, -1, -1}, {18, 19, -1, -1}, {19, 20, -1, -1}},
        {},
        {"Wrist",    "ThumbCMC", "ThumbMCP",  "ThumbIP",   "ThumbTip",  "IndexMCP",  "IndexPIP",
         "IndexDIP", "IndexTip", "MiddleMCP", "MiddlePIP", "MiddleDIP", "MiddleTip", "RingMCP",
         "RingPIP",  "RingDIP",  "RingTip",   "LittleMCP", "LittlePIP", "LittleDIP", "LittleTip"}};
    return topology;
}

}  // namespace openpose_ext
