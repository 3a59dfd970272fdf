// One portable source, two machine codes: the loader picks AVX2 where the CPU has it.
#pragma once

// Function multiversioning needs ifunc (glibc on x86-64). Sanitizers run before it is resolved,
// so instrumented builds take the portable code alone. The clones differ in vector width only:
// AVX2 without FMA, and -ffp-contract=off, give the same bits as the portable code.
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                      \
    !defined(OPENPOSE_SINGLE_VERSION)
#define OPENPOSE_MULTIVERSION __attribute__((target_clones("avx2", "default")))
#else
#define OPENPOSE_MULTIVERSION
#endif
