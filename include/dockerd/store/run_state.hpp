#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <dockerd/store/container_files.hpp>

namespace dockerd::store {

/// What each start and end of a container changes in its record.
struct RunState {
    StateRecord state;  ///< pid and health are not kept
    bool has_been_started_before = false;
    bool has_been_manually_stopped = false;
    std::int64_t restart_count = 0;
};

/// A record's own.
RunState run_state_of(const ContainerRecord& record);
/// Takes `newest` over, unless the record's own times are later: then another engine wrote it.
void apply_run_state(const RunState& newest, ContainerRecord& record);

/// The file last-state of a container's folder: the newest RunState in one of two slots, each
/// with a sum. Saving overwrites the older slot in place, so a flush writes one block of data and
/// waits for no journal; a power cut in the middle leaves the other slot.
constexpr std::size_t state_slot_size = 4096;
/// The whole file with `state` in its first slot.
std::string encode_state_slots(const RunState& state);
/// Replaces the state; durable on return, if `flush` says so. Makes the file if there is none.
/// Throws: internal, "write last-state: <errno text>".
void save_run_state(int folder, const RunState& state, Flush flush = Flush::now);
/// False when the folder has no (whole) state; `out` is then left alone.
bool load_run_state(int folder, RunState& out);

}  // namespace dockerd::store
