#include "images/downloads.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/store/durable.hpp>

#include "images/download.hpp"

namespace dockerd::engine {
namespace {

/// What is this old is not gone on with: its tag has most likely moved.
constexpr std::int64_t max_age_seconds = 24 * 3600;

/// And no more than this is kept; what was touched longest ago goes first.
constexpr std::int64_t max_kept_bytes = 16LL << 30;

struct Kept {
    std::string name;
    std::int64_t size = 0;
    std::int64_t touched = 0;
};

std::vector<Kept> kept_files(int folder) {
    std::vector<Kept> out;
    base::Fd copy(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR* const listing = copy ? ::fdopendir(copy.get()) : nullptr;
    if (listing == nullptr) return out;
    (void)copy.release();  // the listing's now
    while (const dirent* entry = ::readdir(listing)) {
        struct stat info {};
        if (::fstatat(folder, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (!S_ISREG(info.st_mode) || !base::is_full_id(entry->d_name)) continue;
        out.push_back({entry->d_name, info.st_size, info.st_mtime});
    }
    (void)::closedir(listing);
    return out;
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
void DownloadTicket::not_needed() const { download_->not_needed(client_); }
void DownloadTicket::wait(const base::CancellationPtr& cancellation) const {
    download_->wait(*cancellation);
}

Downloads::Downloads(const std::string& folder, Limits limits)
    : path_(folder),
      folder_(store::open_or_make_directory(path_, 0700)),
      limits_(limits),
      pool_({.name = "download", .max_threads = 64}) {
    const base::Lock lock(mutex_);
    sweep();
}

Downloads::~Downloads() {
    std::vector<std::shared_ptr<Download>> all;
    {
        const base::Lock lock(mutex_);
        closing_ = true;
        for (const auto& [digest, known] : by_digest_) {
            if (auto download = known.lock()) all.push_back(std::move(download));
        }
    }
    for (const auto& download : all) download->stop();
}

base::Fd Downloads::open_file(const std::string& name) {
    constexpr int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    const base::Lock lock(mutex_);
    base::Fd file(::openat(folder_.get(), name.c_str(), flags, 0600));
    if (!file && errno == ENOENT) {
        // Users delete the folder to have blobs fetched again.
        folder_ = store::open_or_make_directory(path_, 0700);
        file.reset(::openat(folder_.get(), name.c_str(), flags, 0600));
    }
    if (!file) base::throw_errno(errno, "open layer file");
    return file;
}

/// Removes what is not gone on with. Pre: the mutex is held.
void Downloads::sweep() {
    std::vector<Kept> kept = kept_files(folder_.get());
    std::set<std::string> used;
    for (const auto& [digest, known] : by_digest_) {
        if (const auto download = known.lock()) used.insert(download->file_name());
    }
    std::erase_if(kept, [&](const Kept& file) { return used.contains(file.name); });
    std::ranges::sort(kept, std::ranges::greater(), &Kept::touched);
    const std::time_t now = std::time(nullptr);
    std::int64_t room = max_kept_bytes;
    for (const Kept& file : kept) {
        const bool stays = now - file.touched <= max_age_seconds && file.size <= room;
        if (stays) {
            room -= file.size;
        } else {
            (void)::unlinkat(folder_.get(), file.name.c_str(), 0);  // tried again the next time
        }
    }
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
    while (!closing_ && !waiting_.empty() &&
           (limits_.concurrent == 0 || active_ < limits_.concurrent)) {
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

/// Pre: the mutex is held.
bool Downloads::is_current(const Download& download) const {
    const auto known = by_digest_.find(download.digest());
    return known != by_digest_.end() && known->second.lock().get() == &download;
}

void Downloads::finished(Download& download) {
    {
        const base::Lock lock(mutex_);
        --active_;
        // Of a complete one that is wanted the last ticket removes the file.
        const bool wanted = download.is_complete() && download.has_clients();
        if (is_current(download) && !wanted) {
            by_digest_.erase(download.digest());
            if (download.is_worth_keeping()) {
                sweep();
            } else {
                (void)::unlinkat(folder_.get(), download.file_name().c_str(), 0);  // swept later
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
    const auto at = std::ranges::find(waiting_, download);
    const bool begun = at == waiting_.end();
    if (!begun) {
        waiting_.erase(at);
        download->give_up();
    }
    // The thread of a running one notices by itself, unless somebody joins before.
    if (!is_current(*download) || (begun && !download->is_complete())) return;
    by_digest_.erase(download->digest());
    if (download->is_complete()) {
        (void)::unlinkat(folder_.get(), download->file_name().c_str(), 0);  // swept a day later
    }
}

}  // namespace dockerd::engine
