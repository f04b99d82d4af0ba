#pragma once

#include <functional>

#include <dockerd/base/fd.hpp>

namespace dockerd::sys {

/// An empty tmpfs that is mounted nowhere yet, nosuid and nodev. `mode`: of its root, "0700".
/// `size`: the most it holds, "16m"; null: the kernel's default.
/// Throws: internal, "open a file system: <errno text>" and kin.
base::Fd new_tmpfs(const char* mode, const char* size = nullptr);

/// A copy of what is mounted at `path`, with what lies below, attached nowhere. Empty with errno
/// set on failure. Source: open_tree(2).
base::Fd try_clone_tree(const char* path) noexcept;

/// Makes `root`, which is mounted nowhere yet, this thread's "/" and the only mount of its mount
/// namespace. `furnish` is called in between, while the old files can still be seen and
/// things can be attached in `root`.
///
/// Pre: the namespace is this thread's own; below a plain chroot too.
/// Throws: internal, "pivot_root: <errno text>" and kin.
void replace_root(const base::Fd& root, const std::function<void()>& furnish);

}  // namespace dockerd::sys
