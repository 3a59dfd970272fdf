#include "openpose_ext/decode_many.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

namespace openpose_ext {

std::vector<People> decode_many(std::span<const Job> jobs, const Topology& topology,
                                const DecodeOptions& options, int threads) {
    if (threads < 1) {
        throw std::invalid_argument("threads must be at least 1, not " + std::to_string(threads));
    }
    std::vector<People> people(jobs.size());
    std::vector<std::exception_ptr> errors(jobs.size());
    // Only hands out numbers; the results are read after the threads are joined.
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        Decoder decoder;
        for (std::size_t i = next.fetch_add(1, std::memory_order_relaxed); i < jobs.size();
             i = next.fetch_add(1, std::memory_order_relaxed)) {
            try {
                const Job& job = jobs[i];
                people[i] = decoder.decode(job.heat, job.paf, topology, job.placement, options);
            } catch (...) {
                errors[i] = std::current_exception();
            }
        }
    };
    const auto helpers = std::min(static_cast<std::size_t>(threads), jobs.size());
    std::vector<std::thread> pool;
    try {
        for (std::size_t i = 1; i < helpers; ++i) pool.emplace_back(work);
    } catch (const std::exception&) {
        // No more threads to be had: those that started, and this one, do the work.
    }
    work();
    for (std::thread& thread : pool) thread.join();
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
    return people;
}

}  // namespace openpose_ext
