#pragma once

#include "job.hpp"

namespace dockerd::archive::worker {

/// Gives up what this process will not need, for good: the host's files, capabilities, memory
/// without bounds, all system calls but those of the task. Comes before the first hostile byte.
///
/// decompress: read, write and memory; no files at all.
/// layer, archive: also files below `root_fd`, which becomes "/".
/// Throws: internal, "unpack: <call>: <errno text>".
void enter_jail(Task task);

}  // namespace dockerd::archive::worker
