#pragma once

#include <fcntl.h>

#include <cerrno>

namespace dockerd::sys {

/// Seals a memory file. While the kernel itself holds one of the file's pages for a moment, as when
/// it moves memory about, it waits up to 0.15 seconds and then answers EBUSY: it is asked again.
/// Returns false with errno set on failure. Source: fcntl(2), F_ADD_SEALS; Linux mm/memfd.c,
/// memfd_wait_for_pins.
inline bool add_seals(int file, int seals) noexcept {
    constexpr int tries = 50;
    for (int asked = 1;; ++asked) {
        if (::fcntl(file, F_ADD_SEALS, seals) == 0) return true;
        if (errno != EBUSY || asked == tries) return false;
    }
}

}  // namespace dockerd::sys
