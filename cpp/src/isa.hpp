// One portable source, several machine codes: which of them runs.
#pragma once

#include <atomic>
#include <cstdint>

namespace openpose_ext {

/// Instruction sets that the hot loops are compiled for, beside what the compiler aims at anyway
/// (SSE2 on x86-64, NEON on arm64).
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

namespace detail {
inline constexpr int kUnset = -1;
inline std::atomic<int> chosen_isa{kUnset};
}  // namespace detail

/// Whether this processor, and this build, can run the clones of `isa`.
[[nodiscard]] bool is_supported(Isa isa);

/// Lets all later calls run the clones of `isa`. Throws std::invalid_argument if the processor has
/// not got it.
void use_isa(Isa isa);

/// Chooses by the environment's OPENPOSE_EXT_ISA (baseline, avx2, avx512), or, where that is not
/// set, AVX2 if the processor has it. AVX-512 is never chosen by itself: no machine was at hand to
/// measure it on. Throws std::invalid_argument if the variable names something else, or an
/// instruction set that the processor has not got.
void choose_isa();

/// What runs. `choose_isa` or `use_isa` must have been called; every Workspace does so.
[[nodiscard]] inline Isa isa() {
    return static_cast<Isa>(detail::chosen_isa.load(std::memory_order_relaxed));
}

}  // namespace openpose_ext
