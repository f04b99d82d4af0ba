#include "build/cache_mounts.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine::builds {
namespace {

constexpr std::size_t max_id = 64UL * 1024;

/// Where a folder comes to be: it has its name only when it is complete.
std::string unfinished(const std::string& name) { return ".new-" + name; }

}  // namespace

CacheMounts::CacheMounts(std::string folder) : folder_(std::move(folder)) {}

CacheMounts::Lease::~Lease() { owner_.give_back(name_); }
std::string CacheMounts::Lease::path() const { return owner_.folder_ + "/" + name_ + "/data"; }

base::Fd CacheMounts::open_folder() const {
    return base::Fd{::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
}

void CacheMounts::make(const std::string& name, const std::string& id,
                       const build::RunMount& mount, const Fill& fill) const {
    sys::make_directories(folder_, 0700);
    const base::Fd folder = open_folder();
    if (!folder) base::throw_errno(errno, "open " + folder_);
    if (::faccessat(folder.get(), name.c_str(), F_OK, 0) == 0) return;
    const std::string temporary = unfinished(name);
    (void)archive::remove_all(folder.get(), temporary.c_str());
    if (::mkdirat(folder.get(), temporary.c_str(), 0700) != 0) {
        base::throw_errno(errno, "mkdir " + folder_ + "/" + temporary);
    }
    const base::Fd made{
        ::openat(folder.get(), temporary.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!made || ::mkdirat(made.get(), "data", 0700) != 0) {
        base::throw_errno(errno, "mkdir " + folder_ + "/" + temporary + "/data");
    }
    const base::Fd file{::openat(made.get(), "id", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!file) base::throw_errno(errno, "open " + folder_ + "/" + temporary + "/id");
    archive::fd_sink(file.get())(id);
    if (::fchownat(made.get(), "data", mount.uid.value_or(0), mount.gid.value_or(0), 0) != 0 ||
        ::fchmodat(made.get(), "data", mount.mode.value_or(0755), 0) != 0) {
        base::throw_errno(errno, "chown " + folder_ + "/" + temporary + "/data");
    }
    if (fill) {
        const base::Fd data{::openat(made.get(), "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        if (!data) base::throw_errno(errno, "open " + folder_ + "/" + temporary + "/data");
        fill(data.get());
    }
    if (::renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) != 0) {
        base::throw_errno(errno, "mkdir " + folder_ + "/" + name);
    }
}

std::unique_ptr<CacheMounts::Lease> CacheMounts::take(const std::string& id,
                                                      const build::RunMount& mount,
                                                      const base::Cancellation& cancellation,
                                                      const Fill& fill) {
    const std::string base_name = archive::sha256_digest(id).substr(7);
    base::Lock lock(mutex_);
    std::string name = base_name;
    if (mount.sharing == "locked") {
        (void)freed_.wait(lock, cancellation.token(), [&] { return !users_.contains(name); });
        cancellation.check();
    } else if (mount.sharing == "private") {
        for (int number = 1; users_.contains(name); ++number) {
            name = base_name + "-" + std::to_string(number);
        }
    }
    ++users_[name];
    auto lease = std::make_unique<Lease>(*this, name);  // nobody prunes it from here on
    (void)freed_.wait(lock, cancellation.token(), [&] { return !made_.contains(name); });
    if (cancellation.is_cancelled()) lock.unlock();
    cancellation.check();
    made_.insert(name);
    lock.unlock();
    {
        // What it begins with may be much: others go on meanwhile.
        const base::Undo done([&]() noexcept {
            const base::Lock again(mutex_);
            made_.erase(name);
            freed_.notify_all();
        });
        make(name, id, mount, fill);
    }
    // When it was used last is the time of the file that names it.
    if (::utimensat(AT_FDCWD, (folder_ + "/" + name + "/id").c_str(), nullptr, 0) != 0) {
        base::throw_errno(errno, "chtimes " + folder_ + "/" + name + "/id");
    }
    return lease;
}

void CacheMounts::give_back(const std::string& name) {
    const base::Lock lock(mutex_);
    if (--users_[name] == 0) users_.erase(name);
    freed_.notify_all();
}

std::vector<BuildCacheEntry> CacheMounts::read_entries() const {
    std::vector<BuildCacheEntry> out;
    const base::Fd folder = open_folder();
    DIR* const stream = folder ? ::fdopendir(::fcntl(folder.get(), F_DUPFD_CLOEXEC, 0)) : nullptr;
    if (stream == nullptr) return out;
    while (const dirent* item = ::readdir(stream)) {
        if (item->d_name[0] == '.') continue;
        BuildCacheEntry entry{.id = item->d_name};
        base::Fd file{
            ::openat(folder.get(), (entry.id + "/id").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
        const base::Fd data{::openat(folder.get(), (entry.id + "/data").c_str(),
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        struct statx times {};
        if (!file || !data ||
            ::statx(file.get(), "", AT_EMPTY_PATH, STATX_MTIME | STATX_BTIME, &times) != 0) {
            continue;
        }
        const auto moment = [](const statx_timestamp& time) {
            return base::WallTime(time.tv_sec, static_cast<std::int32_t>(time.tv_nsec));
        };
        entry.last_used = moment(times.stx_mtime);
        const bool has_birth = (times.stx_mask & STATX_BTIME) != 0;
        entry.created = has_birth ? moment(times.stx_btime) : entry.last_used;
        entry.description = archive::read_all(archive::fd_source(std::move(file)), max_id, "id");
        entry.size = archive::tree_size(data.get());
        entry.in_use = users_.contains(entry.id);
        out.push_back(std::move(entry));
    }
    ::closedir(stream);
    std::ranges::sort(out, {}, &BuildCacheEntry::last_used);
    return out;
}

std::vector<BuildCacheEntry> CacheMounts::list() {
    const base::Lock lock(mutex_);
    return read_entries();
}

std::vector<BuildCacheEntry> CacheMounts::prune(const BuildPrune& what) {
    const base::Lock lock(mutex_);
    const auto entries = read_entries();
    std::int64_t total = 0;
    for (const auto& entry : entries) total += entry.size;
    const std::int64_t now = base::WallTime::now().unix_nano();
    const base::Fd folder = open_folder();
    std::vector<BuildCacheEntry> gone;
    for (const auto& entry : entries) {
        if (entry.in_use || (what.reserved > 0 && total <= what.reserved)) continue;
        const auto is_meant = [&](const std::string& id) { return entry.id.starts_with(id); };
        if (!what.ids.empty() && std::ranges::none_of(what.ids, is_meant)) continue;
        const std::int64_t unused = now - entry.last_used.unix_nano();
        if (what.unused_for && unused < what.unused_for->count()) continue;
        if (const int error = archive::remove_all(folder.get(), entry.id.c_str()); error != 0) {
            base::log::warn("remove {}/{}: {}", folder_, entry.id, base::errno_text(error));
            continue;
        }
        total -= entry.size;
        gone.push_back(entry);
    }
    // An empty folder goes as well; where it is not empty this fails.
    (void)::rmdir(folder_.c_str());
    return gone;
}

}  // namespace dockerd::engine::builds
