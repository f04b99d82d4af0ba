#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/fd.hpp>

namespace dockerd::git {

/// What the jail's program is called; dockerd executed under this name is run_jail().
inline constexpr std::string_view program_name = "docker-git";

/// The program of the jail. Pre: this process has one thread.
[[noreturn]] void run_jail();

/// Executes this very program as program_name in a new process, a child of this one, with
/// descriptors 0 to 2 on /dev/null, `fds` from 3 on and no environment, and returns its pidfd.
using StartProgram = std::function<base::Fd(std::span<const int> fds)>;

/// What git gets in a jail.
struct JailOptions {
    /// A filter of system calls, struct sock_filter as bytes; more is refused by the jail itself.
    std::string filter;
    /// Of the program git: "http_proxy=...".
    std::vector<std::string> environment;
    /// Lends git the keys of root's ~/.ssh.
    bool has_keys = false;
    /// Commands that take longer fail.
    std::chrono::seconds time{std::chrono::hours(1)};
};

/// How a command ended.
struct CommandResult {
    std::string failure;  ///< empty: well; "exit status 128", "signal: killed"
    std::string output;   ///< what it wrote to its standard output, up to a bound
    std::string errors;   ///< and to its standard error

    [[nodiscard]] bool ok() const { return failure.empty(); }
};

/// Has the system's git work in a folder, among nothing but what it needs: as nobody, without
/// capabilities, in namespaces of its own but for the network, with the host's programs to read and
/// no other files, no hooks and no configuration of anybody's. See "Builds" in
/// docs/architecture.md.
///
/// All its processes are gone when this is.
/// Thread: one.
class Jail {
public:
    /// `folder`: a directory; all that is in it is the jail's.
    /// Throws: internal, "git: <call>: <errno text>".
    Jail(const StartProgram& start, const JailOptions& options, int folder,
         base::CancellationPtr cancellation);
    Jail(const Jail&) = delete;
    Jail& operator=(const Jail&) = delete;
    ~Jail();

    /// `git arguments...` in the folder. `joined`: output and errors as one text, in `output`.
    /// Throws: internal, `exec: "git": executable file not found in $PATH`, "git: took longer than
    ///         <n> seconds"; as Cancellation::check.
    CommandResult run(const std::vector<std::string>& arguments, bool joined = false);

private:
    std::string receive();
    void end() noexcept;

    base::CancellationPtr cancellation_;
    std::chrono::seconds time_;
    std::chrono::steady_clock::time_point deadline_;
    base::Fd pidfd_;
    base::Fd socket_;
};

}  // namespace dockerd::git
