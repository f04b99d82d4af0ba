#include <dockerd/git/jail.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

#include "wire.hpp"

namespace dockerd::git {
namespace {

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

// Source: Go os/exec_posix.go, ProcessState.String.
std::string how_it_ended(int status) {
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status) == 0 ? "" : fmt::format("exit status {}", WEXITSTATUS(status));
    }
    const char* const name = ::strsignal(WTERMSIG(status));
    return std::string("signal: ") + (WTERMSIG(status) == SIGKILL ? "killed" : name);
}

}  // namespace

Jail::Jail(const StartProgram& start, const JailOptions& options, int folder,
           base::CancellationPtr cancellation)
    : cancellation_(std::move(cancellation)),
      time_(options.time),
      deadline_(std::chrono::steady_clock::now() + options.time) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        base::throw_errno(errno, "git: socketpair");
    }
    socket_.reset(ends[0]);
    const base::Fd theirs{ends[1]};
    const std::array<int, 2> fds{theirs.get(), folder};
    pidfd_ = start(fds);
    try {
        const bool sent = wire::send(socket_.get(), options.filter) &&
                          wire::send(socket_.get(), wire::join(options.environment)) &&
                          wire::send(socket_.get(), options.has_keys ? "keys" : "none");
        // It may say why it has gone.
        const std::string answer = receive();
        if (!sent || answer != std::string(1, '\0')) fail("git: " + answer);
    } catch (...) {
        end();
        throw;
    }
}

Jail::~Jail() { end(); }

/// The outer process of the jail hears its socket close, kills the inner one, and waits until the
/// kernel has killed what that had made.
void Jail::end() noexcept {
    socket_.reset();
    if (!pidfd_) return;
    siginfo_t info{};
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0) {
        if (errno != EINTR) break;  // whoever started us has children reaped unseen
    }
    pidfd_.reset();
}

std::string Jail::receive() {
    for (;;) {
        cancellation_->check();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            deadline_ - std::chrono::steady_clock::now());
        if (left.count() <= 0) fail(fmt::format("git: took longer than {} seconds", time_.count()));
        pollfd waits[] = {{socket_.get(), POLLIN, 0}, {cancellation_->fd(), POLLIN, 0}};
        const int n = ::poll(waits, 2, static_cast<int>(std::min<long>(left.count(), 1'000'000)));
        if (n < 0 && errno != EINTR) base::throw_errno(errno, "git: poll");
        if (n <= 0 || waits[0].revents == 0) continue;
        std::string out;
        if (!wire::receive(socket_.get(), out)) fail("git: its process has gone");
        return out;
    }
}

CommandResult Jail::run(const std::vector<std::string>& arguments, bool joined) {
    std::vector<std::string> words{joined ? "joined" : "apart", "git"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    for (const std::string& word : words) {
        // No argument can have one.
        if (word.find('\0') != std::string::npos) fail("git: invalid argument");
    }
    const std::string command = wire::join(words);
    if (command.size() > wire::max_packet || !wire::send(socket_.get(), command)) {
        fail("git: the command cannot be sent");
    }
    const std::string answer = receive();
    wire::Head head;
    if (answer.size() < sizeof head) fail("git: malformed result");
    std::memcpy(&head, answer.data(), sizeof head);
    const std::string_view texts = std::string_view(answer).substr(sizeof head);
    if (head.output_size > texts.size()) fail("git: malformed result");
    if (head.error == ENOENT) fail("exec: \"git\": executable file not found in $PATH");
    if (head.error != 0) base::throw_errno(head.error, "exec: git");
    return {.failure = how_it_ended(head.status),
            .output = std::string(texts.substr(0, head.output_size)),
            .errors = std::string(texts.substr(head.output_size))};
}

}  // namespace dockerd::git
