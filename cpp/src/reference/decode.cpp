#include "openpose_ext/decode.hpp"

#include "openpose_ext/reference.hpp"

namespace openpose_ext::reference {

template <class T>
Result decode(Maps<T> heat, Maps<T> paf, const Topology& topology, const DecodeOptions& options) {
    topology.check();
    options.check();
    check_maps(heat.channels, heat.height, heat.width, paf.channels, paf.height, paf.width,
               topology);
    Result result;
    find_peaks(heat, topology.parts, options, result.candidates);
    connect(paf, topology, result.candidates, options, result.links);
    assemble(topology, result.candidates, result.links, options, result.subset);
    return result;
}

template OPENPOSE_EXT_API Result decode(Maps<float>, Maps<float>, const Topology&,
                                        const DecodeOptions&);
template OPENPOSE_EXT_API Result decode(Maps<double>, Maps<double>, const Topology&,
                                        const DecodeOptions&);

}  // namespace openpose_ext::reference
