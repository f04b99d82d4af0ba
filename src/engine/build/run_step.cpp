#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <future>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

#include "build/mount_stubs.hpp"
#include "build/stage_run.hpp"

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

void assign(model::StrSlice& list, const std::vector<std::string>& words) {
    list = {};
    list.assign(words.begin(), words.end());
    list.given = true;
}

/// The command with the arguments and mounts in front that it was run with.
// Source: moby builder/dockerfile/dispatchers.go, prependEnvOnCmd.
std::vector<std::string> with_arguments(const build::Args& args,
                                        const std::vector<std::string>& arguments,
                                        const std::vector<std::string>& mounts,
                                        const std::vector<std::string>& command) {
    if (arguments.empty() && mounts.empty()) return command;
    std::vector<std::string> shown = mounts;
    for (const std::string& argument : arguments) {
        if (args.is_in_history(argument.substr(0, argument.find('=')))) shown.push_back(argument);
    }
    std::ranges::sort(shown);
    shown.insert(shown.begin(), fmt::format("|{}", shown.size()));
    shown.insert(shown.end(), command.begin(), command.end());
    return shown;
}

/// Where a heredoc that names its interpreter is.
constexpr const char* script_folder = "/dev/pipes";

/// The command with the files that stand in the Dockerfile: one alone is what the shell runs, others
/// are left to the shell. Source: buildkit frontend/dockerfile/dockerfile2llb, dispatchRun.
build::CommandLine with_heredocs(const build::Run& run) {
    build::CommandLine line = run.line;
    if (run.files.empty() || line.exec_form || line.words.empty()) return line;
    std::string& text = line.words.front();
    if (build::parse_heredoc(text).name.empty()) {
        for (const auto& file : run.files) text += "\n" + file.content + file.name;
        return line;
    }
    text = run.files.front().text();
    if (text.starts_with("#!")) text = script_folder + ("/" + run.files.front().name);
    return line;
}

/// The heredoc that is a program of its own, with its interpreter; null when there is none.
const build::Heredoc* script_of(const build::Run& run) {
    if (run.files.empty() || run.line.exec_form || run.line.words.empty()) return nullptr;
    if (build::parse_heredoc(run.line.words.front()).name.empty()) return nullptr;
    return run.files.front().text().starts_with("#!") ? &run.files.front() : nullptr;
}

/// Such a program in a folder of its own, which the container sees.
// Source: buildkit frontend/dockerfile/dockerfile2llb/convert.go, dispatchRun.
void write_script(const WorkFolder& folder, const build::Heredoc& script) {
    const base::Fd file{::openat(folder.fd(), script.name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755)};
    if (!file) base::throw_errno(errno, "open " + script.name);
    archive::fd_sink(file.get())(script.text());
    if (::fchmod(file.get(), 0755) != 0) base::throw_errno(errno, "chmod " + script.name);
}

/// Takes a container's two streams apart.
class Frames {
public:
    explicit Frames(BuildLog& log) : log_(log) {}

    void add(std::string_view bytes) {
        while (!bytes.empty()) {
            if (left_ == 0) {
                const std::size_t wanted = std::min(header_size - header_.size(), bytes.size());
                header_ += bytes.substr(0, wanted);
                bytes.remove_prefix(wanted);
                if (header_.size() < header_size) return;
                stream_ = header_[0];
                for (std::size_t at = 4; at < header_size; ++at) {
                    left_ = left_ << 8U | static_cast<unsigned char>(header_[at]);
                }
                header_.clear();
                continue;
            }
            const auto piece = bytes.substr(0, left_);
            bytes.remove_prefix(piece.size());
            left_ -= piece.size();
            if (stream_ == 2) {
                log_.error(std::string(piece));
            } else {
                log_.out(std::string(piece));
            }
        }
    }

private:
    static constexpr std::size_t header_size = 8;
    BuildLog& log_;
    std::string header_;
    char stream_ = 1;
    std::size_t left_ = 0;
};

/// Reads to the end of the stream; false when the build was cancelled before.
bool read_output(int fd, BuildLog& log) {
    Frames frames(log);
    std::vector<char> buffer(32 * 1024);
    while (true) {
        std::array<pollfd, 2> entries{
            pollfd{.fd = fd, .events = POLLIN, .revents = 0},
            pollfd{.fd = log.cancellation()->fd(), .events = POLLIN, .revents = 0}};
        (void)::poll(entries.data(), entries.size(), -1);  // interrupted: looked at again
        if (entries[1].revents != 0) return false;
        if (entries[0].revents == 0) continue;
        const ssize_t n = ::read(fd, buffer.data(), buffer.size());
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return true;
        frames.add({buffer.data(), static_cast<std::size_t>(n)});
    }
}

}  // namespace

/// A step's container. One that would change no file, and be removed at once, is not made.
// Differs from Docker: it makes them all.
std::string StageRun::create_container(const StageState& stage, model::ContainerConfig& config,
                                       const model::HostConfig* runs) {
    const bool real = runs != nullptr || !(options_.remove || options_.force_remove);
    const std::string id = base::random_id();
    model::ContainerCreate request;
    request.step_id = id;
    request.has_config = true;
    request.config = config;
    request.host_config = runs != nullptr ? *runs : host_;
    std::vector<std::string> warnings;
    if (real) {
        // Before there is a container: a killed daemon leaves none that nobody knows of.
        auto note = std::make_unique<StepNote>(parts_.data_root + "/tmp", id);
        warnings = parts_.containers.create("", "", std::move(request)).warnings;
        containers_.push_back({.id = id, .note = std::move(note)});
    } else {
        warnings = parts_.containers.verify(std::move(request));
        containers_.push_back({.id = id, .note = nullptr});
    }
    for (const std::string& warning : warnings) {
        // Nobody asked for such a mount but --mount, which is none of the experimental ones.
        if (warning.starts_with("Image mount")) continue;
        log_.out(fmt::format(" ---> [Warning] {}\n", warning));
    }
    log_.out(fmt::format(" ---> Running in {}\n", base::short_id(id)));
    if (runs == nullptr) config = container_config(stage, config, id);
    return id;
}

void StageRun::remove_containers(bool failed) {
    if (!(options_.force_remove || (options_.remove && !failed))) {
        for (const auto& container : std::exchange(containers_, {})) {
            if (!container.note) continue;
            try {
                parts_.containers.keep(container.id);
            } catch (const base::Error& error) {
                if (error.kind() == ErrorKind::not_found) continue;  // removed with the build
                base::log::warn("container {} of a build: {}", container.id, error.what());
            }
        }
        return;
    }
    for (const auto& container : std::exchange(containers_, {})) {
        const auto name = base::short_id(container.id);
        try {
            if (container.note) {
                parts_.containers.remove(container.id, {.volumes = true, .force = true});
            }
        } catch (const base::Error& error) {
            if (error.kind() == ErrorKind::not_found) continue;
            log_.out(fmt::format("Removing intermediate container {}: {}\n", name, error.what()));
            continue;
        }
        log_.out(fmt::format(" ---> Removed intermediate container {}\n", name));
    }
}

// Source: moby builder/dockerfile/containerbackend.go, Run.
void StageRun::run_container(const std::string& id, const std::vector<std::string>& command) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        base::throw_errno(errno, "socketpair");
    }
    const base::Fd ours{ends[0]};
    base::Fd theirs{ends[1]};
    if (::fcntl(theirs.get(), F_SETFL, O_NONBLOCK) != 0) base::throw_errno(errno, "fcntl");
    AttachOptions attach;
    attach.stdout_stream = true;
    attach.stderr_stream = true;
    attach.stream = true;
    parts_.containers.attach(id, attach)->run(std::move(theirs), {});
    (void)parts_.containers.start(id, "");
    if (!read_output(ours.get(), log_)) {
        parts_.containers.remove(id, {.volumes = true, .force = true});
        base::fail(ErrorKind::internal, "build cancelled");
    }
    const auto result = std::make_shared<std::promise<WaitResult>>();
    auto ended = result->get_future();
    const auto subscription =
        parts_.containers.wait(id, WaitCondition::not_running,
                               [result](const WaitResult& found) { result->set_value(found); });
    const WaitResult found = ended.get();
    if (found.exit_code == 0) return;
    std::string text = fmt::format("The command '{}' returned a non-zero code: {}",
                                   base::join(command, " "), found.exit_code);
    if (!found.error.empty()) text += ": " + found.error;
    throw BuildFailure(text, found.exit_code);
}

// Source: moby builder/dockerfile/dispatchers.go, dispatchRun.
void StageRun::run_command(StageState& stage, const build::Run& run) {
    if (run.security == "insecure") {
        base::fail(ErrorKind::permission_denied,
                   "granting entitlement security.insecure is not allowed by build daemon "
                   "configuration");
    }
    if (run.network == "host" && host_.network_mode != "host") {
        base::fail(ErrorKind::permission_denied,
                   "granting entitlement network.host is not allowed by build daemon "
                   "configuration");
    }
    const auto& config = stage.state.config;
    const auto command = build::with_shell(with_heredocs(run), config);
    const auto arguments = stage.args.of_stage(config.env);
    const auto mounts = read_mounts(stage, run);
    std::vector<std::string> keys;
    for (const StepMount& mount : mounts) keys.push_back(mount.key);
    const build::Heredoc* const script = script_of(run);
    if (script != nullptr) keys.push_back("heredoc=" + archive::sha256_digest(script->text()));
    if (run.network != "default") keys.push_back("network=" + run.network);
    const auto shown = with_arguments(stage.args, arguments, keys, command);

    model::ContainerConfig probed = config;
    assign(probed.cmd, shown);
    if (!shown.empty()) probed.entrypoint = {};
    if (find_cached(stage, probed)) return;

    model::ContainerConfig executed = config;
    assign(executed.cmd, command);
    executed.env.insert(executed.env.end(), arguments.begin(), arguments.end());
    if (!shown.empty()) assign(executed.entrypoint, {""});
    executed.healthcheck.emplace();
    executed.healthcheck->test.push_back("NONE");
    std::vector<std::unique_ptr<CacheMounts::Lease>> leases;
    model::HostConfig host = host_;
    if (run.network != "default") host.network_mode = run.network;
    for (auto& mount : take_mounts(mounts, leases)) host.mounts.push_back(std::move(mount));
    std::optional<WorkFolder> scripts;
    if (script != nullptr) {
        scripts.emplace(parts_.data_root + "/tmp");
        write_script(*scripts, *script);
        host.mounts.push_back({.type = "bind", .source = scripts->path(), .target = script_folder});
        host.mounts.back().read_only = true;
    }
    host.mounts.given = !host.mounts.empty();
    std::vector<std::string> targets;
    for (const StepMount& mount : mounts) targets.push_back(mount.mount.target);
    const std::string id = create_container(stage, executed, &host);
    MountStubs stubs(parts_.store.layers(), id, targets);
    run_container(id, command);
    stubs.remove();
    commit(stage, probed, id, parts_.store.layers().stage_rw(id));
}

}  // namespace dockerd::engine::builds
