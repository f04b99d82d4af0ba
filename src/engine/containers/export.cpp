#include <fmt/format.h>

#include <dockerd/archive/pack.hpp>
#include <dockerd/base/error.hpp>

#include "containers.hpp"

namespace dockerd::engine {

// Source: moby daemon/export.go, ContainerExport.
void Containers::export_files(std::string_view reference, const ByteWriter& sink) {
    const auto container = index_.get(reference);
    {
        const base::Lock lock(container->operation);
        const char* const state = container->record.state.dead ? "is Dead"
                                  : container->removing        ? "is being removed"
                                                               : nullptr;
        if (state != nullptr) {
            base::fail(
                base::ErrorKind::conflict,
                fmt::format("You cannot export container {} which {}", container->id, state));
        }
    }
    base::in_context(fmt::format("Error exporting container {}", reference), [&] {
        with_rootfs(container, [&](const base::Fd& rootfs, const store::ContainerRecord& record) {
            archive::pack(rootfs.get(), {}, sink);
            log_event(record, "export");
        });
    });
}

}  // namespace dockerd::engine
