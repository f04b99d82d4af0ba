#include <dockerd/store/run_state.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include <dockerd/archive/crc64.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/store/durable.hpp>

#include "json_read.hpp"

namespace dockerd::store {
namespace {

using base::Json;

constexpr const char* state_file = "last-state";
constexpr std::size_t slots = 2;
/// Of an error text that does not fit, as much as surely does, whatever has to be escaped.
constexpr std::size_t longest_error = 600;

struct Slot {
    std::int64_t sequence = 0;
    RunState state;
};

std::string json_text(const RunState& run, std::int64_t sequence, std::size_t error_limit) {
    const StateRecord& state = run.state;
    const Json json{{"format", 1},
                    {"sequence", sequence},
                    {"started_before", run.has_been_started_before},
                    {"manually_stopped", run.has_been_manually_stopped},
                    {"restart_count", run.restart_count},
                    {"running", state.running},
                    {"restarting", state.restarting},
                    {"oom_killed", state.oom_killed},
                    {"dead", state.dead},
                    {"exit_code", state.exit_code},
                    {"started_at", base::format_rfc3339_nano(state.started_at)},
                    {"finished_at", base::format_rfc3339_nano(state.finished_at)},
                    {"error", state.error.substr(0, error_limit)}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// "<sum> <json>", spaces, a line feed: a slot is text that can be read with cat.
std::string slot_text(const RunState& run, std::int64_t sequence) {
    std::string json = json_text(run, sequence, std::string::npos);
    constexpr std::size_t sum_size = 17;
    if (json.size() + sum_size + 1 > state_slot_size)
        json = json_text(run, sequence, longest_error);
    std::string out = fmt::format("{:016x} {}", archive::crc64_iso(0, json), json);
    out.resize(state_slot_size, ' ');
    out.back() = '\n';
    return out;
}

std::optional<Slot> parse_slot(std::string_view text) {
    const std::size_t space = text.find(' ');
    const std::size_t end = text.find_last_not_of(" \n");
    if (space == std::string_view::npos || end == std::string_view::npos || end <= space) {
        return std::nullopt;
    }
    const std::string_view body = text.substr(space + 1, end - space);
    if (fmt::format("{:016x}", archive::crc64_iso(0, body)) != text.substr(0, space)) {
        return std::nullopt;
    }
    const Json json = parse_json(body);
    if (number_of(json, "format") != 1) return std::nullopt;
    Slot out;
    out.sequence = number_of(json, "sequence");
    out.state.has_been_started_before = flag_of(json, "started_before");
    out.state.has_been_manually_stopped = flag_of(json, "manually_stopped");
    out.state.restart_count = number_of(json, "restart_count");
    StateRecord& state = out.state.state;
    state.running = flag_of(json, "running");
    state.restarting = flag_of(json, "restarting");
    state.oom_killed = flag_of(json, "oom_killed");
    state.dead = flag_of(json, "dead");
    state.exit_code = number_of(json, "exit_code");
    state.started_at = time_of(json, "started_at").value_or(base::WallTime{});
    state.finished_at = time_of(json, "finished_at").value_or(base::WallTime{});
    state.error = text_of(json, "error");
    return out;
}

using Content = std::array<char, slots * state_slot_size>;

/// Nothing when there is none, or something else is in its place.
base::Fd try_open_slots(int folder, int flags) {
    try {
        return open_regular(folder, state_file, flags);
    } catch (const base::Error&) {
        return {};
    }
}

/// False when the file is not of this form.
bool read_whole(int fd, Content& content) {
    return ::pread(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size());
}

/// The newest whole slot with its place.
std::optional<std::pair<std::size_t, Slot>> newest(const Content& content) {
    std::optional<std::pair<std::size_t, Slot>> found;
    for (std::size_t i = 0; i < slots; ++i) {
        auto slot = parse_slot({content.data() + i * state_slot_size, state_slot_size});
        if (slot && (!found || slot->sequence > found->second.sequence)) {
            found.emplace(i, std::move(*slot));
        }
    }
    return found;
}

base::WallTime last_change(const StateRecord& state) {
    return std::max(state.started_at, state.finished_at);
}

}  // namespace

RunState run_state_of(const ContainerRecord& record) {
    RunState out{record.state, record.has_been_started_before, record.has_been_manually_stopped,
                 record.restart_count};
    out.state.health.reset();
    return out;
}

void apply_run_state(const RunState& newest, ContainerRecord& record) {
    if (last_change(record.state) > last_change(newest.state)) return;
    StateRecord state = newest.state;
    state.paused = record.state.paused && state.running;
    state.pid = state.running ? record.state.pid : 0;
    state.health = std::move(record.state.health);
    record.state = std::move(state);
    record.has_been_started_before = newest.has_been_started_before;
    record.has_been_manually_stopped = newest.has_been_manually_stopped;
    record.restart_count = newest.restart_count;
}

std::string encode_state_slots(const RunState& state) {
    std::string out = slot_text(state, 1);
    out.resize(slots * state_slot_size, ' ');
    out.back() = '\n';
    return out;
}

void save_run_state(int folder, const RunState& state, Flush flush) {
    const base::Fd fd = try_open_slots(folder, O_RDWR);
    Content content{};
    if (!fd || !read_whole(fd.get(), content)) {
        write_durable(folder, state_file, encode_state_slots(state));
        return;
    }
    const auto last = newest(content);
    const std::size_t place = last ? (last->first + 1) % slots : 0;
    const std::string text = slot_text(state, last ? last->second.sequence + 1 : 1);
    const auto offset = static_cast<off_t>(place * state_slot_size);
    if (::pwrite(fd.get(), text.data(), text.size(), offset) != static_cast<ssize_t>(text.size()) ||
        (flush == Flush::now && ::fdatasync(fd.get()) != 0)) {
        base::throw_errno(errno, fmt::format("write {}", state_file));
    }
}

bool load_run_state(int folder, RunState& out) {
    const base::Fd fd = try_open_slots(folder, O_RDONLY);
    Content content{};
    if (!fd || !read_whole(fd.get(), content)) return false;
    auto found = newest(content);
    if (!found) return false;
    out = std::move(found->second.state);
    return true;
}

}  // namespace dockerd::store
