// The decoder for a browser, compiled by emscripten: maps in, people out, as Float32Arrays.
#include <emscripten/bind.h>
#include <emscripten/val.h>

#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"

namespace {

namespace op = openpose_ext;
using emscripten::val;

class Decoder {
public:
    /// heat, paf  Float32Arrays of 19 and 38 maps of height x width cells, map by map
    ///
    /// Returns a Float32Array with a row a person, best first: the score, then x, y and score of
    /// each of the 18 parts in the frame of the placement; 0, 0, 0 where one is missing.
    /// Throws an Error if the maps do not fit each other or the placement is out of range.
    val decode(const val& heat, const val& paf, int height, int width,
               const op::Placement& placement) {
        try {
            heat_ = emscripten::convertJSArrayToNumberVector<float>(heat);
            paf_ = emscripten::convertJSArrayToNumberVector<float>(paf);
            fill_rows(op::MapView(heat_, kHeatMaps, height, width),
                      op::MapView(paf_, op::coco_18().paf_channels(), height, width), placement);
        } catch (const std::exception& error) {
            val::global("Error").new_(std::string(error.what())).throw_();
        }
        // A copy: the memory of the module may move when it grows.
        return val(emscripten::typed_memory_view(rows_.size(), rows_.data())).call<val>("slice");
    }

private:
    static constexpr int kHeatMaps = 19;

    void fill_rows(const op::MapView& heat, const op::MapView& paf,
                   const op::Placement& placement) {
        const op::People& people = decoder_.decode(heat, paf, op::coco_18(), placement);
        rows_.clear();
        for (int i = 0; i < people.count; ++i) {
            const std::size_t length = std::size_t{3} * people.parts;
            const auto points = std::span(people.keypoints).subspan(i * length, length);
            rows_.push_back(people.scores[i]);
            rows_.insert(rows_.end(), points.begin(), points.end());
        }
    }

    op::Decoder decoder_;
    std::vector<float> heat_;
    std::vector<float> paf_;
    std::vector<float> rows_;
};

}  // namespace

EMSCRIPTEN_BINDINGS(openpose_ext) {
    emscripten::value_object<op::Placement>("Placement")
        .field("scale_x", &op::Placement::scale_x)
        .field("shift_x", &op::Placement::shift_x)
        .field("scale_y", &op::Placement::scale_y)
        .field("shift_y", &op::Placement::shift_y)
        .field("width", &op::Placement::width)
        .field("height", &op::Placement::height);
    emscripten::class_<Decoder>("Decoder").constructor<>().function("decode", &Decoder::decode);
}
