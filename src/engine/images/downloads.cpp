#include "images/downloads.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/store/durable.hpp>

#include "images/download.hpp"

namespace dockerd::engine {
namespace {

/// What is this old is not gone on with: its tag has most likely moved.
constexpr std::int64_t max_age_seconds = 24 * 3600;

void sweep(int folder) {
    const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* const listing = copy < 0 ? nullptr : ::fdopendir(copy);
    if (listing == nullptr) return;
    const std::time_t now = std::time(nullptr);
    while (const dirent* entry = ::readdir(listing)) {
        struct stat info {};
        if (::fstatat(folder, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        const bool ours = S_ISREG(info.st_mode) && base::is_full_id(entry->d_name);
        if (ours && now - info.st_mtime > max_age_seconds) {
            (void)::unlinkat(folder, entry->d_name, 0);  // tried again at the next start
        }
    }
    (void)::closedir(listing);
}

}  // namespace

DownloadTicket::DownloadTicket(std::shared_ptr<Download> download, int client)
    : download_(std::move(download)), client_(client) {}

DownloadTicket::~DownloadTicket() { Downloads::leave(download_, client_); }

archive::ByteSource DownloadTicket::source(const base::CancellationPtr& cancellation) const {
    return [download = download_, cancellation, offset = std::int64_t{0},
            generation = -1](std::span<char> buffer) mutable {
        const std::size_t n = download->read(buffer, offset, generation, *cancellation);
        offset += static_cast<std::int64_t>(n);
        return n;
    };
}

std::int64_t DownloadTicket::total() const { return download_->total(); }
bool DownloadTicket::is_complete() const { return download_->is_complete(); }
void DownloadTicket::wait(const base::CancellationPtr& cancellation) const {
    download_->wait(*cancellation);
}

Downloads::Downloads(const std::string& folder, Limits limits)
    : folder_(store::open_or_make_directory(folder, 0700)),
      limits_(limits),
      pool_({.name = "download", .max_threads = 64}) {
    sweep(folder_.get());
}

void Downloads::set_limits(Limits limits) {
    {
        const base::Lock lock(mutex_);
        limits_ = limits;
    }
    start_waiting();
}

std::shared_ptr<DownloadTicket> Downloads::fetch(const std::string& digest, std::int64_t size,
                                                 DownloadClient client) {
    std::shared_ptr<Download> download;
    std::shared_ptr<DownloadTicket> ticket;
    bool is_new = false;
    {
        const base::Lock lock(mutex_);
        const auto known = by_digest_.find(digest);
        if (known != by_digest_.end()) download = known->second.lock();
        int id = download ? download->join(client) : -1;
        is_new = id < 0;
        if (is_new) {
            download = std::make_shared<Download>(*this, digest, size);
            id = download->join(std::move(client));
            by_digest_[digest] = download;
            waiting_.push_back(download);
        }
        ticket = std::make_shared<DownloadTicket>(download, id);
    }
    if (is_new) start_waiting();
    {
        const base::Lock lock(mutex_);
        if (std::ranges::find(waiting_, download) == waiting_.end()) return ticket;
    }
    download->tell_waiting();
    return ticket;
}

void Downloads::start_waiting() {
    const base::Lock lock(mutex_);
    while (!waiting_.empty() && (limits_.concurrent == 0 || active_ < limits_.concurrent)) {
        auto download = waiting_.front();
        waiting_.pop_front();
        ++active_;
        try {
            pool_.post([this, download] {
                download->run();
                finished(*download);
            });
        } catch (...) {
            --active_;
            by_digest_.erase(download->digest());
            download->fail(std::current_exception());
        }
    }
}

void Downloads::finished(Download& download) {
    {
        const base::Lock lock(mutex_);
        --active_;
        const auto known = by_digest_.find(download.digest());
        const bool current =
            known != by_digest_.end() && known->second.lock().get() == &download;
        if (current && !download.is_complete()) {
            by_digest_.erase(known);
            // Of no use to the next one.
            if (download.is_empty()) {
                (void)::unlinkat(folder_.get(), download.file_name().c_str(), 0);
            }
        }
    }
    start_waiting();
}

void Downloads::leave(const std::shared_ptr<Download>& download, int client) {
    download->owner().left(download, client);
}

void Downloads::left(const std::shared_ptr<Download>& download, int client) {
    const base::Lock lock(mutex_);
    if (download->leave(client)) return;
    if (const auto at = std::ranges::find(waiting_, download); at != waiting_.end()) {
        waiting_.erase(at);
        download->give_up();
    }
    const auto known = by_digest_.find(download->digest());
    if (known == by_digest_.end() || known->second.lock() != download) return;
    // The thread of a running one notices by itself, unless somebody joins before.
    if (download->is_running()) return;
    by_digest_.erase(known);
    if (download->is_complete()) {
        (void)::unlinkat(folder_.get(), download->file_name().c_str(), 0);  // swept a day later
    }
}

}  // namespace dockerd::engine
