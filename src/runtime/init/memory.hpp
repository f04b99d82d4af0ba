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

/// Runs `function` on a stack that this process has for itself: its parent's is there, but no fork
/// copies it. On the stack that there is where memory for another cannot be had, and with a sanitizer.
/// Pre: /proc is the host's.
[[noreturn]] void run_on_own_stack(void (*function)(void*), void* argument);

/// Unmaps the heap, which is the parent's, and puts copies into the place of what the program has
/// written: a page that a whole family of processes had once takes the kernel several times as long
/// to fork, for it keeps the family tree.
/// Pre: take_own_memory(); /proc is the host's; no signal has a handler.
void part_from_parent();

}  // namespace dockerd::runtime::init
