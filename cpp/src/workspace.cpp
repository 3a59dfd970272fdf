#include "openpose_ext/workspace.hpp"

#include "isa.hpp"
#include "memory.hpp"

namespace openpose_ext {

Workspace::Workspace() {
    choose_isa();
    memory_ = std::make_unique<Memory>();
}
Workspace::~Workspace() = default;
Workspace::Workspace(Workspace&& other) noexcept = default;
Workspace& Workspace::operator=(Workspace&& other) noexcept = default;

}  // namespace openpose_ext
