#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include <dockerd/base/strings.hpp>

#include "containers.hpp"
#include "errors.hpp"

namespace dockerd::engine {
namespace {

using base::ErrorKind;

std::vector<std::string> fields(std::string_view line) {
    std::vector<std::string> out;
    for (auto& part : base::split(line, ' ')) {
        if (!part.empty()) out.push_back(std::move(part));
    }
    return out;
}

/// Runs the host's ps, as Docker does, with a fixed environment, and returns what it prints.
std::string run_ps(const std::vector<std::string>& arguments) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) base::throw_errno(errno, "pipe");
    base::Fd reader(ends[0]);
    base::Fd writer(ends[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
    std::vector<std::string> words{"ps"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::array<char*, 2> environment{path.data(), nullptr};
    pid_t pid = 0;
    const int failed =
        ::posix_spawnp(&pid, "ps", &actions, nullptr, argv.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) base::throw_errno(failed, "error running ps");
    writer.reset();
    std::string output;
    std::array<char, 4096> buffer{};
    while (true) {
        const ssize_t got = ::read(reader.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        if (output.size() < (1U << 20U))
            output.append(buffer.data(), static_cast<std::size_t>(got));
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        const auto first = base::split(base::trim(output), '\n').front();
        base::fail(ErrorKind::internal, first.empty()
                                            ? fmt::format("ps: exit status {}", WEXITSTATUS(status))
                                            : fmt::format("ps: {}", first));
    }
    return output;
}

/// Keeps the rows of `pids`. Source: moby daemon/top_unix.go, parsePSOutput.
TopResult parse_ps(const std::string& output, const std::set<pid_t>& pids) {
    TopResult result;
    const auto lines = base::split(output, '\n');
    result.titles = fields(lines.front());
    const auto title = std::ranges::find(result.titles, "PID");
    if (title == result.titles.end()) {
        base::fail(ErrorKind::internal, "Couldn't find PID field in ps output");
    }
    const auto pid_column = static_cast<std::size_t>(title - result.titles.begin());
    for (std::size_t i = 1; i < lines.size(); ++i) {
        auto row = fields(lines[i]);
        if (row.size() <= pid_column) continue;
        const auto pid = base::parse_int(row[pid_column]);
        if (!pid || !pids.contains(static_cast<pid_t>(*pid))) continue;
        // The last column may hold spaces: it is the command.
        const std::size_t columns = result.titles.size();
        if (row.size() > columns) {
            std::vector<std::string> tail(row.begin() + static_cast<std::ptrdiff_t>(columns) - 1,
                                          row.end());
            row.resize(columns - 1);
            row.push_back(base::join(tail, " "));
        }
        result.processes.push_back(std::move(row));
    }
    return result;
}

}  // namespace

// Source: moby daemon/top_unix.go, ContainerTop.
TopResult Containers::top(std::string_view reference, const std::string& ps_args) {
    const std::string asked = ps_args.empty() ? "-ef" : ps_args;
    const auto container = index_.get(reference);
    std::vector<pid_t> pids;
    {
        const base::Lock lock(container->operation);
        const auto& state = container->record.state;
        if (!state.running || !container->cgroup) throw errors::not_running(container->id);
        if (state.restarting) throw errors::is_restarting(container->id);
        pids = container->cgroup.pids();
    }
    auto result = parse_ps(run_ps(fields(asked)), {pids.begin(), pids.end()});
    const base::Lock lock(container->operation);
    log_event(container->record, "top");
    return result;
}

}  // namespace dockerd::engine
