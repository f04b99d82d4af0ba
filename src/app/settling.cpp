#include "settling.hpp"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>

#include <dockerd/base/log.hpp>
#include <dockerd/base/thread.hpp>

namespace dockerd::app {
namespace {

/// Longer than it takes a script to go on after the first answer.
constexpr std::chrono::seconds pause{1};

/// Gives back what only the start needed: freed blocks, and mapped pages of code and constants. Those
/// still needed come back from the page cache as they are touched.
void drop_startup_memory() {
    (void)::malloc_trim(0);
    const auto drop = [](dl_phdr_info* object, std::size_t, void*) {
        const auto page = static_cast<std::uintptr_t>(::getpagesize());
        for (const ElfW(Phdr)& part : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
            // What can be written, or could while it was relocated, is in no file.
            if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
            const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
            const std::uintptr_t first = (begin + page - 1) / page * page;
            const std::uintptr_t end = (begin + part.p_filesz) / page * page;
            if (end <= first) continue;
            // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader gives numbers
            (void)::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
        }
        return 0;
    };
    (void)::dl_iterate_phdr(drop, nullptr);
}

}  // namespace

Settling::Settling(Wiring& wiring)
    : wiring_(wiring), thread_(base::start_quiet_thread([this] { run(); })) {}

Settling::~Settling() {
    end();
    thread_.join();
}

void Settling::end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
}

/// False when the daemon ends.
bool Settling::wait() {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, pause, [this] { return ended_; });
}

void Settling::run() {
    wiring_.settle();
    if (!wait()) return;
    try {
        wiring_.warm();
    } catch (const std::exception& error) {
        base::log::warn("preparing for containers: {}", error.what());
    }
    drop_startup_memory();
}

}  // namespace dockerd::app
