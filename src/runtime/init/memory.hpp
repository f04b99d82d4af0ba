#pragma once

namespace dockerd::runtime::init {

/// From now on this process, and those it forks, use a small memory of their own: a fork copies
/// little, and the heap, which is the monitor's, can be unmapped. What was on the heap is never
/// used nor freed again. False, with nothing done, in a program with a sanitizer: its memory is the
/// heap.
bool take_own_memory();

/// What was made since take_own_memory() is never given back.
void keep_own_memory();

/// Pre: nothing that was made since keep_own_memory() is used any more.
void reuse_own_memory();

}  // namespace dockerd::runtime::init
