// The stages without their checks, for those who have checked: the decoder, and the public stages
// themselves. T is float or float16; both maps of a picture are of one type.
#pragma once

#include <vector>

#include "memory.hpp"
#include "openpose_ext/people.hpp"
#include "openpose_ext/stages.hpp"

namespace openpose_ext::unchecked {

template <class T>
void find_peaks(const Maps<T>& heat, int parts, const DecodeOptions& options, PeakScratch& scratch,
                Peaks& peaks);

template <class T>
[[nodiscard]] Peak refine(const Maps<T>& heat, int part, int y, int x);

template <class T>
void score_limb(const Maps<T>& paf, const Limb& limb, const Peaks& peaks,
                const DecodeOptions& options, LimbScratch& scratch,
                std::vector<Connection>& connections);

template <class T>
[[nodiscard]] Integral integrate(const Maps<T>& paf, const Limb& limb, const Peak& from,
                                 const Peak& to, float threshold);

// Pairs must be ordered by a, then b, as `score_limb` gives them.
void assign_greedy(int count_a, int count_b, AssignScratch& scratch,
                   std::vector<Connection>& connections);
void assign_hungarian(int count_a, int count_b, AssignScratch& scratch,
                      std::vector<Connection>& connections);
void solve_assignment(const double* cost, int rows, int columns, AssignScratch& scratch,
                      std::vector<int>& column_of);

template <class T>
void connect(const Maps<T>& paf, const Topology& topology, const Peaks& peaks,
             const DecodeOptions& options, ConnectScratch& scratch,
             std::vector<std::vector<Connection>>& connections);

void assemble(const Peaks& peaks, const Topology& topology,
              const std::vector<std::vector<Connection>>& connections, const DecodeOptions& options,
              AssembleScratch& scratch, Assembly& assembly);

template <class T>
void fill(const Maps<T>& heat, const Maps<T>& paf, const Peaks& peaks, const Topology& topology,
          const Assembly& assembly, FillScratch& scratch, Filled& filled);

void drop_doubles(People& people, const Topology& topology, DoublesScratch& scratch);

}  // namespace openpose_ext::unchecked
