#include "launch/state_files.hpp"

#include "wire/packet.hpp"
#include "wire/process_time.hpp"

#include <dockerd/base/fd.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <initializer_list>
#include <optional>

namespace dockerd::runtime::launch {

namespace {

/// Reads "1 a b c": format 1 and N numbers.
template <std::size_t N>
std::optional<std::array<std::int64_t, N>> read_record(const base::Fd& directory,
                                                       const char* name) {
    const base::Fd file{
        ::openat(directory.get(), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    char text[256];
    const ssize_t size = file ? ::read(file.get(), text, sizeof text) : -1;
    if (size <= 0) return {};
    std::array<std::int64_t, N + 1> all{};
    const char* at = text;
    const char* end = text + size;
    for (std::int64_t& number : all) {
        while (at < end && *at == ' ') ++at;
        const auto [next, error] = std::from_chars(at, end, number);
        if (error != std::errc{}) return {};
        at = next;
    }
    if (all[0] != 1) return {};
    std::array<std::int64_t, N> out{};
    std::copy(all.begin() + 1, all.end(), out.begin());
    return out;
}

/// Connects to a living monitor. Empty when nobody listens.
base::Fd connect_monitor(const base::Fd& directory) {
    base::Fd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + "/sock";
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    if (!socket ||
        ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        return base::Fd{};
    }
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
        who.uid != ::geteuid()) {
        return base::Fd{};
    }
    return socket;
}

std::optional<wire::Welcome> greet(const base::Fd& socket) {
    // A stopped monitor must not hold up the daemon's start.
    const timeval patience{5, 0};
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    wire::Packet packet;
    wire::Welcome welcome;
    if (wire::send_message(socket.get(), wire::Kind::hello, 0, wire::Hello{}) != 0 ||
        wire::receive_packet(socket.get(), /*wait=*/true, packet) != wire::Receive::packet ||
        packet.kind != wire::Kind::welcome || !packet.to(welcome) || !welcome.started.pidfd) {
        return {};
    }
    const timeval forever{0, 0};
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    return welcome;
}

ExitInfo exit_info(const wire::Exited& exited) {
    return {exited.code, exited.signal, base::WallTime(exited.seconds, exited.nanoseconds), true};
}

std::optional<Recovered> from_monitor(Reaper& reaper, const base::Fd& directory,
                                      const std::string& id) {
    base::Fd socket = connect_monitor(directory);
    if (!socket) return {};
    std::optional<wire::Welcome> welcome = greet(socket);
    if (!welcome) return {};
    auto connection = std::make_shared<Connection>(
        id, welcome->started.pid, std::move(welcome->started.pidfd), std::move(socket));
    Recovered found{Recovered::State::running, connection, {}, {}};
    for (auto& exec : welcome->execs) found.execs.push_back(std::move(exec.exec_id));
    if (welcome->has_exited) {
        found.state = Recovered::State::exited;
        found.exit = exit_info(welcome->exited);
        (void)connection->claim_exit();  // told here, not by on_exit
    }
    reaper.add(connection);
    return found;
}

}  // namespace

Recovered recover(Reaper& reaper, const std::string& state_directory, const std::string& id) {
    const base::Fd directory{
        ::open(state_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
    if (!directory) return {};
    if (auto found = from_monitor(reaper, directory, id)) return std::move(*found);
    if (const auto record = read_record<4>(directory, "exit")) {
        const auto& [code, signal, seconds, nanoseconds] = *record;
        Recovered found{Recovered::State::exited, nullptr, {}, {}};
        found.exit = {static_cast<int>(code), static_cast<int>(signal),
                      base::WallTime(seconds, static_cast<std::int32_t>(nanoseconds)), true};
        return found;
    }
    const auto record = read_record<2>(directory, "init");
    if (!record) return {};
    const auto pid = static_cast<pid_t>((*record)[0]);
    // First the descriptor, then the look at the start time: the number may be another's by now.
    base::Fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (!pidfd || process_start_time(pid) != static_cast<std::uint64_t>((*record)[1])) return {};
    auto connection = std::make_shared<Connection>(id, pid, std::move(pidfd), base::Fd{});
    connection->lost();
    reaper.add(connection);
    return {Recovered::State::orphaned, connection, {}, {}};
}

namespace {

/// Removes files that may or may not be there.
void remove_files(const std::string& state_directory, std::initializer_list<const char*> names) {
    const base::Fd directory{
        ::open(state_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
    if (!directory) return;
    for (const char* name : names) (void)::unlinkat(directory.get(), name, 0);
}

}  // namespace

void remove_state(const std::string& state_directory) {
    remove_files(state_directory, {"sock", "init", "exit", "init.tmp", "exit.tmp"});
    (void)::rmdir(state_directory.c_str());  // the engine may keep files of its own in it
}

void remove_process_state(const std::string& state_directory) {
    remove_files(state_directory, {"sock", "init", "init.tmp"});
}

}  // namespace dockerd::runtime::launch
