#include <fcntl.h>
#include <sys/stat.h>

#include <dockerd/archive/compression.hpp>
#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/runtime/file_view.hpp>
#include <dockerd/sys/paths.hpp>

#include "containers.hpp"
#include "copy_paths.hpp"
#include "errors.hpp"
#include "mount_parser.hpp"

namespace dockerd::engine {

namespace {

using base::Error;
using base::ErrorKind;

/// A file of the view, held so that what is read is what was looked at.
struct Found {
    base::Fd node;  ///< O_PATH
    PathStat stat;
};

/// `path` as a process in the container's root would look at it with lstat(2).
// Source: moby daemon/containerfs_linux.go, Stat.
Found look_at(int root, const std::string& path) {
    Found found;
    found.node = sys::try_open_in_root(root, path, O_PATH | O_NOFOLLOW);
    struct stat info {};
    if (!found.node || ::fstat(found.node.get(), &info) != 0) {
        base::throw_errno(errno, "lstat " + path);
    }
    found.stat = {.name = base_name(path),
                  .size = info.st_size,
                  .mode = info.st_mode,
                  .mtime = {info.st_mtim.tv_sec, static_cast<std::int32_t>(info.st_mtim.tv_nsec)},
                  .link_target = {}};
    if (S_ISLNK(info.st_mode)) {
        found.stat.link_target = sys::resolve_in_root(root, path, sys::Missing::is_kept);
    }
    return found;
}

/// The directory that is to be packed, or in which the file is.
base::Fd open_source(int root, const std::string& path, const Found& source) {
    base::Fd directory;
    if (S_ISDIR(source.stat.mode)) {
        directory.reset(::openat(source.node.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    } else {
        directory = sys::try_open_in_root(root, directory_part(path), O_PATH | O_DIRECTORY);
    }
    if (!directory) base::throw_errno(errno, "open " + path);
    return directory;
}

void pack_source(int directory, const std::string& name, const Found& source,
                 const ByteWriter& sink) {
    if (!S_ISDIR(source.stat.mode)) {
        archive::pack_one(directory, name, name, sink);
        return;
    }
    archive::PackOptions options;
    options.start_name = name == "/" ? std::string() : name;
    archive::pack(directory, options, sink);
}

template <typename Work>
void encoded(ContentEncoding encoding, const ByteWriter& sink, const Work& work) {
    using archive::GzipSink;
    if (encoding == ContentEncoding::identity) {
        work(sink);
        return;
    }
    const auto format =
        encoding == ContentEncoding::gzip ? GzipSink::Format::gzip : GzipSink::Format::bare;
    GzipSink packed(sink, GzipSink::Effort::fast, format);
    work([&](std::string_view bytes) { packed.write(bytes); });
    packed.finish();
}

// Source: moby daemon/archive_unix.go, checkWritablePath. Docker takes any of the mounts that
// `path` lies in; the innermost is the one that is written to.
void check_writable(const store::ContainerRecord& record, const std::string& path) {
    const store::MountPointRecord* innermost = nullptr;
    for (const auto& [destination, point] : record.mount_points) {
        if (!lies_in(path, destination)) continue;
        if (innermost == nullptr || innermost->destination.size() < destination.size()) {
            innermost = &point;
        }
    }
    if (innermost != nullptr && !innermost->rw) {
        base::fail(ErrorKind::invalid_argument, "mounted volume is marked read-only");
    }
    if (innermost == nullptr && record.host_config.readonly_rootfs) {
        base::fail(ErrorKind::invalid_argument, "container rootfs is marked read-only");
    }
}

/// What is wrong with an archive, or stands in its way, is Docker's failure: 500.
void unpack(const archive::Unpacker& unpacker, const ByteReader& source, int root,
            const archive::ExtractOptions& options) {
    try {
        (void)unpacker.unpack_archive(source, root, options);
    } catch (const Error& error) {
        throw Error(ErrorKind::internal, error.what(), error.errno_value());
    }
}

/// Runs `work`; whatever is missing in it is the file that was asked for.
// Source: moby daemon/archive.go.
template <typename Work>
void finding(std::string_view reference, const std::string& path, const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        if (error.errno_value() == ENOENT) throw errors::file_not_found(path, reference);
        throw;
    }
}

}  // namespace

PathStat Containers::stat_path(std::string_view reference, const std::string& path) {
    const auto container = index_.get(reference);
    PathStat stat;
    finding(reference, path, [&] {
        with_files(container, [&](int root, const auto&) { stat = look_at(root, path).stat; });
    });
    return stat;
}

// Source: moby daemon/archive_unix.go, containerArchivePath.
void Containers::archive_path(std::string_view reference, const std::string& path,
                              ContentEncoding encoding,
                              const std::function<void(const PathStat&)>& found,
                              const ByteWriter& sink) {
    const auto container = index_.get(reference);
    finding(reference, path, [&] {
        with_files(container, [&](int root, const store::ContainerRecord& record) {
            const std::string absolute = keep_trailing(clean_path("/" + path), path);
            const Found source = look_at(root, absolute);
            const base::Fd directory = open_source(root, absolute, source);
            found(source.stat);
            log_event(record, "archive-path");
            encoded(encoding, sink, [&](const ByteWriter& out) {
                pack_source(directory.get(), base_name(absolute), source, out);
            });
        });
    });
}

// Source: moby daemon/archive_unix.go, containerExtractToDir.
void Containers::extract_to_path(std::string_view reference, const std::string& path,
                                 const ExtractPathOptions& options, const ByteReader& source) {
    const auto container = index_.get(reference);
    finding(reference, path, [&] {
        with_files(container, [&](int root, const store::ContainerRecord& record) {
            const std::string target =
                sys::resolve_in_root(root, clean_path("/" + path), sys::Missing::is_error);
            if (!S_ISDIR(look_at(root, keep_trailing(target, path)).stat.mode)) {
                base::fail(ErrorKind::invalid_argument, "extraction point is not a directory");
            }
            check_writable(record, target);
            archive::ExtractOptions extraction;
            extraction.below = target.substr(1);
            extraction.no_overwrite_dir_non_dir = options.no_overwrite_dir_non_dir;
            if (options.copy_uid_gid && !record.config.user.empty()) {
                const auto owner = runtime::look_up_owner(root, record.config.user);
                extraction.owner = {owner.uid, owner.gid};
            }
            unpack(parts_.layers.unpacker(), source, root, extraction);
            log_event(record, "extract-to-dir");
        });
    });
}

}  // namespace dockerd::engine
