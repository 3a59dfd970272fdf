// Maps of an OpenPose-like network in, people out:
//
//     openpose_ext::Decoder decoder;  // build one, decode many
//     const openpose_ext::MapView heat(heat_cells, 19, height, width);
//     const openpose_ext::MapView paf(paf_cells, 38, height, width);
//     const auto& people = decoder.decode(heat, paf, openpose_ext::coco_18(),
//                                         openpose_ext::Placement::network(8, heat));
//     for (const openpose_ext::Person person : people)
//         for (const openpose_ext::Keypoint point : person) draw(point.x, point.y, point.score);
//
// Nothing is global, nothing prints; wrong arguments throw std::invalid_argument. "stages.hpp" has
// the decoder's stages, "reference.hpp" the rules of the original system on maps of the picture's
// size.
#pragma once

#include "openpose_ext/decode.hpp"
#include "openpose_ext/decode_many.hpp"
#include "openpose_ext/doubles.hpp"
#include "openpose_ext/hand.hpp"
#include "openpose_ext/maps.hpp"
#include "openpose_ext/merge.hpp"
#include "openpose_ext/options.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/regions.hpp"
#include "openpose_ext/topology.hpp"
#include "openpose_ext/turns.hpp"
#include "openpose_ext/unite.hpp"
#include "openpose_ext/version.hpp"
