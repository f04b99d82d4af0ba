#include "images/download.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>

namespace dockerd::engine {
namespace {

constexpr std::size_t buffer_size = 256U << 10U;

/// A failure no further attempt can mend.
class FinalError : public base::Error {
public:
    explicit FinalError(const std::string& text) : Error(base::ErrorKind::internal, text) {}
};

void write_at(int file, std::string_view bytes, std::int64_t offset) {
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(file, bytes.data(), bytes.size(), offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, "write layer");
        bytes.remove_prefix(static_cast<std::size_t>(n));
        offset += n;
    }
}

}  // namespace

int Download::join(DownloadClient client) {
    const base::Lock lock(mutex_);
    if (phase_ == Phase::failed || phase_ == Phase::abandoned) return -1;
    useless_ = false;
    const int id = next_client_++;
    clients_.emplace(id, std::move(client));
    return id;
}

bool Download::leave(int client) {
    const base::Lock lock(mutex_);
    clients_.erase(client);
    changed_.notify_all();
    if (!clients_.empty()) return true;
    if (attempt_) attempt_->cancel();
    return false;
}

void Download::not_needed(int client) {
    const base::Lock lock(mutex_);
    useless_ = clients_.size() == 1 && clients_.contains(client);
}

bool Download::has_clients() const {
    const base::Lock lock(mutex_);
    return !clients_.empty();
}

void Download::stop() {
    const base::Lock lock(mutex_);
    stopped_ = true;
    if (attempt_) attempt_->cancel();
    changed_.notify_all();
}

bool Download::is_complete() const {
    const base::Lock lock(mutex_);
    return phase_ == Phase::complete;
}

bool Download::is_worth_keeping() const {
    const base::Lock lock(mutex_);
    return received_ > 0 && !final_ && !useless_ && phase_ != Phase::complete;
}

void Download::wait(const base::Cancellation& cancellation) {
    base::Lock lock(mutex_);
    (void)changed_.wait(lock, cancellation.token(), [&] {
        return phase_ == Phase::complete || phase_ == Phase::failed || phase_ == Phase::abandoned;
    });
    if (phase_ == Phase::failed) std::rethrow_exception(failure_);
    if (phase_ == Phase::complete) return;
    base::fail(base::ErrorKind::unavailable, "context canceled");
}

void Download::give_up() { end(Phase::abandoned, nullptr); }

std::int64_t Download::total() const {
    const base::Lock lock(mutex_);
    return total_;
}

void Download::tell_waiting() { step("Waiting"); }

void Download::step(const std::string& action) {
    const base::Lock lock(mutex_);
    for (const auto& [id, client] : clients_) client.step(action);
}

void Download::end(Phase phase, std::exception_ptr failure) {
    const base::Lock lock(mutex_);
    phase_ = phase;
    failure_ = std::move(failure);
    changed_.notify_all();
}

/// False, and over for good, when there is none.
bool Download::first_client(Client& out) {
    const base::Lock lock(mutex_);
    if (clients_.empty() || stopped_) {
        phase_ = Phase::abandoned;
        changed_.notify_all();
        return false;
    }
    out = {clients_.begin()->first, clients_.begin()->second};
    return true;
}

/// Whether the client whose connection it was is not one any more: then its failure is none.
bool Download::is_out(const Client& client) {
    const base::Lock lock(mutex_);
    if (client.calls.cancellation->is_cancelled()) clients_.erase(client.id);
    return stopped_ || !clients_.contains(client.id);
}

void Download::run() {
    try {
        fetch();
    } catch (const base::Error& error) {
        {
            const base::Lock lock(mutex_);
            final_ = dynamic_cast<const FinalError*>(&error) != nullptr ||
                     !registry::is_worth_retrying(error);
        }
        end(Phase::failed, std::current_exception());
    } catch (...) {
        end(Phase::failed, std::current_exception());
    }
}

void Download::fetch() {
    {
        const base::Lock lock(mutex_);
        phase_ = Phase::running;
    }
    adopt_file();
    std::int64_t attempts = 0;
    for (;;) {
        Client client;
        if (!first_client(client)) return;
        const bool resumed = resumed_;
        try {
            attempt(client);
            verify(resumed);
            return;
        } catch (const FinalError&) {
            throw;
        } catch (const base::Error& error) {
            {
                const base::Lock lock(mutex_);
                resumed_ = received_ > 0;
            }
            // Who is left goes on with an own connection.
            if (is_out(client)) continue;
            std::int64_t most = 0;
            {
                const base::Lock lock(owner_.mutex_);
                most = owner_.limits_.attempts;
            }
            if (!registry::is_worth_retrying(error) || ++attempts >= most) {
                registry::throw_cause(error);
            }
            base::log::info("Download failed, retrying ({}/{}): {}", attempts, most, error.what());
            // Source: moby distribution/xfer/download.go, makeDownloadFunc.
            wait_to_retry(attempts * 5);
        }
    }
}

/// Takes what an earlier download left of the same blob.
void Download::adopt_file() {
    file_ = owner_.open_file(file_name());
    hash_ = std::make_unique<archive::Sha256>();
    struct stat info {};
    if (::fstat(file_.get(), &info) != 0) base::throw_errno(errno, "open layer file");
    if (info.st_size == 0) return;
    if (size_ > 0 && info.st_size > size_) {
        start_over();
        return;
    }
    std::vector<char> buffer(buffer_size);
    std::int64_t at = 0;
    for (;;) {
        const ssize_t n = ::pread(file_.get(), buffer.data(), buffer.size(), at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, "read layer file");
        if (n == 0) break;
        hash_->update({buffer.data(), static_cast<std::size_t>(n)});
        at += n;
    }
    resumed_ = true;
    const base::Lock lock(mutex_);
    received_ = at;
    changed_.notify_all();
}

void Download::start_over() {
    if (::ftruncate(file_.get(), 0) != 0) base::throw_errno(errno, "truncate layer file");
    hash_ = std::make_unique<archive::Sha256>();
    resumed_ = false;
    const base::Lock lock(mutex_);
    received_ = 0;
    ++generation_;
    changed_.notify_all();
}

void Download::attempt(const Client& client) {
    const auto cancellation = std::make_shared<base::Cancellation>(client.calls.cancellation);
    std::int64_t have = 0;
    {
        const base::Lock lock(mutex_);
        have = received_;
        if (size_ > 0) total_ = size_;
        attempt_ = cancellation;
        // From here on leave() and stop() reach it.
        if (clients_.empty() || stopped_) cancellation->cancel();
    }
    const base::Undo done([this]() noexcept {
        const base::Lock lock(mutex_);
        attempt_.reset();
    });
    if (size_ > 0 && have == size_) return;
    receive(client.calls.open(have, cancellation));
}

void Download::receive(registry::Repository::Blob blob) {
    if (size_ > 0 && blob.size >= 0 && blob.size != size_) {
        throw FinalError(fmt::format("filesystem layer verification failed for digest {}: the "
                                     "registry has {} bytes, the manifest says {}",
                                     digest_, blob.size, size_));
    }
    const std::int64_t whole = size_ > 0 ? size_ : blob.size;
    if (whole < 0) throw FinalError("the registry does not say how long " + digest_ + " is");
    std::int64_t have = 0;
    {
        const base::Lock lock(mutex_);
        have = received_;
        total_ = whole;
    }
    std::int64_t at = blob.offset;
    std::vector<char> buffer(buffer_size);
    for (;;) {
        const std::size_t n = blob.body.read(buffer);
        if (n == 0) break;
        std::string_view bytes(buffer.data(), n);
        // A registry without ranges sends again what is here.
        const std::int64_t known = std::clamp<std::int64_t>(have - at, 0, static_cast<std::int64_t>(n));
        at += static_cast<std::int64_t>(n);
        bytes.remove_prefix(static_cast<std::size_t>(known));
        if (bytes.empty()) continue;
        if (at > whole) {
            throw FinalError(fmt::format("filesystem layer verification failed for digest {}: "
                                         "more than {} bytes",
                                         digest_, whole));
        }
        write_at(file_.get(), bytes, have);
        hash_->update(bytes);
        have = at;
        const base::Lock lock(mutex_);
        received_ = have;
        changed_.notify_all();
        for (const auto& [id, client] : clients_) client.bytes(have, whole);
        // A server fast enough is never waited for, so that no wait tells.
        if (clients_.empty() || stopped_) {
            base::fail(base::ErrorKind::unavailable, "context canceled");
        }
    }
    // Source: Go io, ErrUnexpectedEOF.
    if (have < whole) throw http::ClientError(base::ErrorKind::internal, "unexpected EOF");
}

void Download::verify(bool resumed) {
    step("Verifying Checksum");
    if (hash_->digest() == digest_) {
        step("Download complete");
        end(Phase::complete, nullptr);
        return;
    }
    const std::string text = "filesystem layer verification failed for digest " + digest_;
    start_over();
    // The part of before may have been at fault.
    if (resumed) base::fail(base::ErrorKind::internal, text);
    throw FinalError(text);
}

/// Until the time is over, or the last client has left.
void Download::wait_to_retry(std::int64_t seconds) {
    for (; seconds > 0; --seconds) {
        step(fmt::format("Retrying in {} second{}", seconds, seconds == 1 ? "" : "s"));
        base::Lock lock(mutex_);
        (void)changed_.wait_for(lock, std::chrono::seconds(1), [this] {
            return clients_.empty() || stopped_;
        });
        if (clients_.empty() || stopped_) return;
    }
}

std::size_t Download::read(std::span<char> buffer, std::int64_t offset, int& generation,
                           const base::Cancellation& cancellation) {
    std::int64_t most = 0;
    {
        base::Lock lock(mutex_);
        if (generation < 0) generation = generation_;
        (void)changed_.wait(lock, cancellation.token(), [&] {
            return generation != generation_ || received_ > offset || phase_ == Phase::complete ||
                   phase_ == Phase::failed || phase_ == Phase::abandoned;
        });
        cancellation.check();
        if (generation != generation_) throw DownloadTicket::Restarted();
        if (phase_ == Phase::failed) std::rethrow_exception(failure_);
        if (phase_ == Phase::abandoned) {
            base::fail(base::ErrorKind::unavailable, "context canceled");
        }
        most = received_ - offset;
    }
    if (most == 0) return 0;
    const std::size_t wanted = std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(most));
    for (;;) {
        const ssize_t n = ::pread(file_.get(), buffer.data(), wanted, offset);
        if (n > 0) return static_cast<std::size_t>(n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) base::throw_errno(errno, "read layer file");
        throw DownloadTicket::Restarted();  // cut short meanwhile
    }
}

}  // namespace dockerd::engine
