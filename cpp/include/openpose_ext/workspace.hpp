// Memory that the stages reuse from call to call.
#pragma once

#include <memory>

#include "openpose_ext/export.hpp"

namespace openpose_ext {

/// What the stages need besides input and output. It grows with the largest picture; after that a
/// stage allocates nothing. One serves all stages, one after the other; not two threads at once.
class OPENPOSE_EXT_API Workspace {
public:
    Workspace();
    ~Workspace();
    Workspace(Workspace&& other) noexcept;
    Workspace& operator=(Workspace&& other) noexcept;

    struct Memory;  // the library's own
    [[nodiscard]] Memory& memory() { return *memory_; }

private:
    std::unique_ptr<Memory> memory_;
};

}  // namespace openpose_ext
