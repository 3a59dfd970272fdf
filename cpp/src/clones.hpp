// Compiles a hot loop once for every instruction set and calls the chosen one.
//
//     inline void scale_body(float* x, int n) { ... }                        the loop, portable
//     OPENPOSE_EXT_CLONES(void, scale, (float* x, int n), (x, n))            scale(x, n) runs it
//
// The clones differ in vector width only. None has fused products (-ffp-contract=off), so all give
// the same bits. The body must be OPENPOSE_EXT_BODY.
#pragma once

#include "isa.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define OPENPOSE_EXT_HAS_CLONES 1
#define OPENPOSE_EXT_BODY [[gnu::always_inline]] inline
#define OPENPOSE_EXT_CLONES(result, name, parameters, arguments)                         \
    result name##_baseline parameters { return name##_body arguments; }                  \
    __attribute__((target("avx2"))) result name##_avx2 parameters {                      \
        return name##_body arguments;                                                    \
    }                                                                                    \
    __attribute__((                                                                      \
        target("avx512f,avx512bw,avx512dq,avx512vl"))) result name##_avx512 parameters { \
        return name##_body arguments;                                                    \
    }                                                                                    \
    result name parameters {                                                             \
        switch (isa()) {                                                                 \
            case Isa::avx2:                                                              \
                return name##_avx2 arguments;                                            \
            case Isa::avx512:                                                            \
                return name##_avx512 arguments;                                          \
            default:                                                                     \
                return name##_baseline arguments;                                        \
        }                                                                                \
    }
#else
#define OPENPOSE_EXT_HAS_CLONES 0
#define OPENPOSE_EXT_BODY inline
#define OPENPOSE_EXT_CLONES(result, name, parameters, arguments) \
    result name parameters { return name##_body arguments; }
#endif
