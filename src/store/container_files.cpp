#include <dockerd/store/container_files.hpp>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/store/run_state.hpp>

#include "reaper.hpp"

namespace dockerd::store {
namespace {

constexpr const char* config_file = "config.v2.json";
constexpr const char* host_config_file = "hostconfig.json";
/// Leading dots: Docker's daemon logs such folders and leaves them alone.
constexpr std::string_view unfinished_prefix = ".creating-";
constexpr std::string_view removed_prefix = ".removing-";
constexpr std::size_t files_per_thread = 16;
constexpr std::size_t max_threads = 4;

}  // namespace

ContainerFiles::ContainerFiles(const std::string& data_root)
    : root_(data_root + "/containers"),
      root_fd_(open_or_make_directory(root_, 0710)),
      reaper_(std::make_unique<Reaper>()) {}
ContainerFiles::~ContainerFiles() = default;

std::string ContainerFiles::path(const std::string& id) const { return root_ + "/" + id; }

base::Fd ContainerFiles::directory(const std::string& id) const {
    base::Fd fd{
        ::openat(root_fd_.get(), id.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd) {
        if (errno == ENOENT) {
            base::fail(base::ErrorKind::not_found, "No such container: " + id);
        }
        base::throw_errno(errno, fmt::format("open {}", path(id)));
    }
    return fd;
}

ContainerRecord ContainerFiles::load(const std::string& id) const {
    const base::Fd folder = directory(id);
    const std::string config = read_file(folder.get(), config_file);
    std::string host_config;
    try {
        host_config = read_file(folder.get(), host_config_file);
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) throw;
    }
    ContainerRecord out = decode_container_record(config, host_config);
    if (out.id != id) {
        // Source: moby daemon/container.go, load.
        base::fail(base::ErrorKind::internal,
                   fmt::format("Container {} is stored at {}", out.id, id));
    }
    RunState newest;
    if (load_run_state(folder.get(), newest)) apply_run_state(newest, out);
    return out;
}

std::vector<ContainerRecord> ContainerFiles::load_all() const {
    std::vector<std::string> ids;
    for (const std::string& name : archive::sorted_names(root_fd_.get())) {
        if (base::is_full_id(name)) ids.push_back(name);
        if (name.starts_with(unfinished_prefix) || name.starts_with(removed_prefix)) {
            reaper_->post([this, name] { remove_tree(root_fd_.get(), name, reaper_->stop()); });
        }
    }
    std::vector<std::optional<ContainerRecord>> found(ids.size());
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
        for (std::size_t i = next++; i < ids.size(); i = next++) {
            try {
                sweep_temporaries(directory(ids[i]).get());
                ContainerRecord record = load(ids[i]);
                if (record.driver != "overlay2") {
                    base::log::error("ignoring container {}: its storage driver is {}", ids[i],
                                     record.driver);
                    continue;
                }
                found[i] = std::move(record);
            } catch (const std::exception& error) {
                base::log::error("failed to load container {}: {}", ids[i], error.what());
            }
        }
    };
    std::vector<std::thread> helpers;
    const std::size_t wanted = std::min<std::size_t>(
        {max_threads, std::thread::hardware_concurrency(), ids.size() / files_per_thread});
    for (std::size_t i = 1; i < wanted; ++i) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
    std::vector<ContainerRecord> out;
    for (std::optional<ContainerRecord>& record : found) {
        if (record) out.push_back(std::move(*record));
    }
    return out;
}

void ContainerFiles::create(const ContainerRecord& record, Batch& batch) {
    const std::string name = std::string(unfinished_prefix) + record.id;
    // Modes: moby daemon/create.go and container/container.go.
    if (::mkdirat(root_fd_.get(), name.c_str(), 0710) != 0) {
        base::throw_errno(errno, fmt::format("mkdir {}", path(record.id)));
    }
    const base::Fd folder = directory(name);
    if (::fchmod(folder.get(), 0710) != 0 || ::mkdirat(folder.get(), "checkpoints", 0700) != 0) {
        base::throw_errno(errno, fmt::format("mkdir {}", path(record.id)));
    }
    batch.write_new(folder.get(), config_file, encode_container_record(record), 0600);
    batch.write_new(folder.get(), host_config_file, encode_host_config(record), 0600);
    batch.write_new(folder.get(), "last-state", encode_state_slots(run_state_of(record)), 0600);
    // In this order: data of every file of the batch, the name, the journal. A power cut before
    // the last leaves nothing of the container to be seen.
    batch.flush_data();
    if (::renameat2(root_fd_.get(), name.c_str(), root_fd_.get(), record.id.c_str(),
                    RENAME_NOREPLACE) != 0) {
        const int error = errno;
        remove_tree(root_fd_.get(), name);
        if (error == EEXIST) {
            base::fail(base::ErrorKind::conflict, "container exists: " + record.id);
        }
        base::throw_errno(error, fmt::format("create {}", path(record.id)));
    }
    if (record.of_step) {
        batch.order(root_fd_.get());
    } else {
        batch.commit(root_fd_.get());
    }
}

void ContainerFiles::save(const ContainerRecord& record) const {
    write_durable(directory(record.id).get(), config_file, encode_container_record(record));
}

void ContainerFiles::save_with_host_config(const ContainerRecord& record) const {
    const base::Fd folder = directory(record.id);
    Batch batch;
    batch.replace(folder.get(), host_config_file, encode_host_config(record));
    batch.replace(folder.get(), config_file, encode_container_record(record));
    batch.commit(folder.get());
}

void ContainerFiles::save_relaxed(const ContainerRecord& record) const {
    const base::Fd folder = directory(record.id);
    const std::string temporary = fmt::format(".tmp-{}{}", config_file, base::random_hex(5));
    const base::Fd file{
        ::openat(folder.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!file) base::throw_errno(errno, fmt::format("write {}", config_file));
    try {
        archive::fd_sink(file.get())(encode_container_record(record));
        if (::renameat(folder.get(), temporary.c_str(), folder.get(), config_file) != 0) {
            base::throw_errno(errno, fmt::format("write {}", config_file));
        }
    } catch (...) {
        (void)::unlinkat(folder.get(), temporary.c_str(), 0);  // the first failure is reported
        throw;
    }
}

void ContainerFiles::save_state(const std::string& id, const RunState& state, Flush flush) const {
    save_run_state(directory(id).get(), state, flush);
}

void ContainerFiles::remove(const std::string& id, Flush flush) const {
    const std::string renamed = fmt::format("{}{}", removed_prefix, base::random_hex(16));
    const auto move = [&] {
        return ::renameat(root_fd_.get(), id.c_str(), root_fd_.get(), renamed.c_str()) == 0;
    };
    // EBUSY: somebody has mounted something on the folder itself.
    while (!move()) {
        if (errno == ENOENT) return;
        if (errno == EBUSY && ::umount2(path(id).c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
            continue;
        }
        base::throw_errno(errno, fmt::format("remove {}", path(id)));
    }
    if (flush == Flush::now && ::fsync(root_fd_.get()) != 0) {
        base::throw_errno(errno, "fsync containers");
    }
    reaper_->post([this, renamed] { remove_tree(root_fd_.get(), renamed, reaper_->stop()); });
}

}  // namespace dockerd::store
