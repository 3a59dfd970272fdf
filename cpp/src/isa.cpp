#include "isa.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "clones.hpp"

namespace openpose_ext {

namespace {

constexpr std::string_view kNames[] = {"baseline", "avx2", "avx512"};

Isa by_name(std::string_view name) {
    for (int i = 0; i < 3; ++i) {
        if (name == kNames[i]) return static_cast<Isa>(i);
    }
    throw std::invalid_argument("OPENPOSE_EXT_ISA is \"" + std::string(name) +
                                "\"; it must be baseline, avx2 or avx512, or not be set");
}

}  // namespace

bool is_supported(Isa isa) {
    switch (isa) {
        case Isa::baseline:
            return true;
#if OPENPOSE_EXT_HAS_CLONES
        case Isa::avx2:
            return __builtin_cpu_supports("avx2") != 0;
        case Isa::avx512:
            return __builtin_cpu_supports("avx512f") != 0 &&
                   __builtin_cpu_supports("avx512bw") != 0 &&
                   __builtin_cpu_supports("avx512dq") != 0 &&
                   __builtin_cpu_supports("avx512vl") != 0;
#endif
        default:
            return false;
    }
}

void use_isa(Isa isa) {
    if (!is_supported(isa)) {
        throw std::invalid_argument("this processor, or this build, has no " +
                                    std::string(kNames[static_cast<int>(isa)]) +
                                    "; set OPENPOSE_EXT_ISA to baseline or leave it out");
    }
    detail::chosen_isa.store(static_cast<int>(isa), std::memory_order_relaxed);
}

void choose_isa() {
    if (detail::chosen_isa.load(std::memory_order_relaxed) != detail::kUnset) return;
    const char* name = std::getenv("OPENPOSE_EXT_ISA");
    if (name != nullptr && *name != '\0') {
        use_isa(by_name(name));
    } else {
        use_isa(is_supported(Isa::avx2) ? Isa::avx2 : Isa::baseline);
    }
}

}  // namespace openpose_ext
