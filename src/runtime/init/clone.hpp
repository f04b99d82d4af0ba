#pragma once

#include <sys/types.h>

#include <cstdint>

namespace dockerd::runtime::init {

/// fork(2) with clone flags: returns 0 in the child. Handlers are reset in the child. With
/// `pidfd` the parent gets a descriptor of it.
/// Pre: this process has one thread.
pid_t clone_process(std::uint64_t flags, int* pidfd);

}  // namespace dockerd::runtime::init
