#include "build/copy_target.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/tar.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

constexpr std::size_t max_users_file = 4UL << 20U;

std::string parent_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// The number in the third field of the line that begins with `name`.
// Source: moby/sys/user, ParsePasswdFileFilter, ParseGroupFileFilter.
std::optional<std::uint32_t> look_up(int root, const std::string& file, const std::string& name) {
    base::Fd found = sys::try_open_in_root(root, file, O_RDONLY | O_NONBLOCK);
    if (!found) base::throw_errno(errno, "open /" + file);
    const std::string text =
        archive::read_all(archive::fd_source(std::move(found)), max_users_file, file);
    for (const std::string& line : base::split(text, '\n')) {
        const auto fields = base::split(base::trim(line), ':');
        if (fields.size() < 3 || fields[0] != name) continue;
        const auto number = base::parse_int(fields[2]);
        return static_cast<std::uint32_t>(number.value_or(0));
    }
    return std::nullopt;
}

// Source: moby builder/dockerfile/internals_linux.go, lookupUser, lookupGroup.
std::uint32_t id_of(int root, const std::string& name, const char* number, const char* what,
                    const std::string& file) {
    const std::string context = std::string("can't find ") + number + " for " + what + " " + name;
    return base::in_context(context, [&] {
        if (const auto given = base::parse_int(name)) return static_cast<std::uint32_t>(*given);
        const auto found = look_up(root, file, name);
        if (!found) base::fail(ErrorKind::internal, std::string("no such ") + what + ": " + name);
        return *found;
    });
}

bool is_directory(int root, const std::string& path) {
    return static_cast<bool>(sys::try_open_in_root(root, path, O_PATH | O_DIRECTORY));
}

base::Fd open_directory(int root, const std::string& path) {
    base::Fd directory =
        sys::try_open_in_root(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
    if (!directory) base::throw_errno(errno, "open " + path);
    return directory;
}

}  // namespace

CopyTarget::CopyTarget(int root, const archive::Unpacker& unpacker, LargeFiles& large, std::string path)
    : root_(root), unpacker_(unpacker), large_(large), path_(std::move(path)) {}

// Source: moby builder/dockerfile/internals_linux.go, parseChownFlag.
void CopyTarget::set_owner(const std::string& text) {
    const auto parts = base::split(text, ':');
    if (parts.size() > 2) {
        base::fail(ErrorKind::internal, "invalid chown string format: " + text);
    }
    const std::string& group = parts.back();
    owner_ = Owner{id_of(root_, parts[0], "uid", "user", "etc/passwd"),
                   id_of(root_, group, "gid", "group", "etc/group")};
}

// Source: buildkit frontend/dockerfile/dockerfile2llb/convert.go, dispatchCopy.
void CopyTarget::set_mode(const std::string& text) {
    if (text.empty()) return;
    std::uint32_t mode = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (error != std::errc{} || end != text.data() + text.size() || mode > 07777) {
        base::fail(ErrorKind::invalid_argument,
                   "invalid chmod parameter: '" + text +
                       "'. it should be octal string and between 0 and 07777");
    }
    mode_ = mode;
}

/// `own`: made by the engine, to belong to the owner; else what an archive brings.
void CopyTarget::unpack(const archive::ByteSource& tar, const std::string& directory,
                        bool own) const {
    // Nothing above it is there for the members, nor for what their links say.
    const base::Fd place = open_directory(root_, directory.substr(1));
    archive::ExtractOptions options;
    if (own) options.owner = owner_;
    options.start_writeback = true;
    (void)unpacker_.unpack_archive(tar, place.get(), options);
    large_.check_places(root_);
}

/// `source`: the file, or the directory that the members are in; `directory`: where they are put.
archive::PackOptions CopyTarget::pack_options(const SourceTree& tree, const std::string& source,
                                              const std::string& directory) const {
    archive::PackOptions options;
    options.mode = mode_;
    options.as_chowned = owner_.has_value();
    options.on_file = [&tree, source, directory, this](int file, const struct stat& info,
                                                       archive::TarEntry& member) {
        const std::string path = source.ends_with('/') ? source.substr(1) + member.name : source.substr(1);
        const std::string place = (directory == "/" ? "" : directory) + "/" + member.name;
        large_.leave_out(tree, path, place, owner_, file, info, member);
    };
    return options;
}

void CopyTarget::put(const CopyItem& item, bool unpacks) {
    const std::string path = sys::resolve_in_root(root_, path_, sys::Missing::is_kept);
    if (item.tree != nullptr) {
        const auto info = item.tree->look_at(item.path);
        if (!info) base::throw_errno(ENOENT, "source path not found: stat " + item.path);
        if (S_ISDIR(info->st_mode)) {
            put_directory(item, path);
            return;
        }
    }
    if (unpacks && !item.no_unpack && item.tree != nullptr) {
        if (const auto tar = open_archive(item)) {
            (void)sys::make_directories_in_root(root_, path, 0755, 0, 0);
            unpack(*tar, path, /*own=*/false);
            return;
        }
    }
    put_file(item, path);
}

// Source: copy.go, copyDirectory; copy_unix.go, fixPermissions.
void CopyTarget::put_directory(const CopyItem& item, const std::string& path) {
    if (!is_directory(root_, path)) {
        const base::Fd made = sys::make_directories_in_root(root_, path, 0755, 0, 0);
        if (owner_ && ::fchownat(made.get(), "", owner_->first, owner_->second, AT_EMPTY_PATH) != 0) {
            base::throw_errno(errno, "chown " + path);
        }
    }
    const base::Fd source = open_directory(item.tree->root(), item.path);
    const std::string resolved = item.tree->resolve(item.path);
    const archive::PackOptions options = pack_options(
        *item.tree, "/" + resolved + (resolved.empty() ? "" : "/"), path);
    unpack(archive::produce([&](const archive::ByteSink& sink) {
               if (!item.only) return archive::pack(source.get(), options, sink);
               std::vector<archive::PackedChange> members;
               for (const std::string& below : *item.only) members.push_back({.path = below});
               archive::pack_changes(source.get(), members, sink, options);
           }),
           path, /*own=*/true);
}

// Source: copy.go, copyFile.
void CopyTarget::put_file(const CopyItem& item, std::string path) {
    // A directory that is there, or is asked for, gets the file; also a link keeps its own name.
    if (path_.ends_with('/') || is_directory(root_, path)) {
        path = (path == "/" ? "" : path) + "/" + name_of(item.path);
    }
    const std::string directory = parent_of(path);
    const Owner makes = owner_.value_or(Owner{0, 0});
    (void)sys::make_directories_in_root(root_, directory, 0755, makes.first, makes.second);
    if (item.text) {
        std::string tar;
        archive::TarWriter writer([&](std::string_view bytes) { tar += bytes; });
        archive::TarEntry entry;
        entry.name = name_of(path);
        entry.mode = mode_.value_or(0644);
        entry.size = static_cast<std::int64_t>(item.text->size());
        entry.type_flag = '0';
        entry.mtime = base::WallTime(base::WallTime::now().seconds(), 0);
        writer.add(entry, *item.text);
        writer.finish();
        unpack(archive::memory_source(std::move(tar)), directory, /*own=*/true);
        return;
    }
    const std::string source = "/" + item.tree->resolve(item.path);
    const base::Fd folder = open_directory(item.tree->root(), parent_of(source));
    const archive::PackOptions options = pack_options(*item.tree, source, directory);
    unpack(archive::produce([&](const archive::ByteSink& sink) {
               archive::pack_one(folder.get(), name_of(source), name_of(path), sink, options);
           }),
           directory, /*own=*/true);
}

/// The file if it is a tar, packed or not. Source: moby/go-archive archive.go, IsArchivePath.
std::optional<archive::ByteSource> CopyTarget::open_archive(const CopyItem& item) const {
    const auto open = [&] {
        base::Fd file = sys::try_open_in_root(item.tree->root(), item.path, O_RDONLY | O_NONBLOCK);
        if (!file) base::throw_errno(errno, "open " + item.path);
        return file;
    };
    const auto info = item.tree->look_at(item.path);
    if (!info || !S_ISREG(info->st_mode)) return std::nullopt;
    std::array<char, 512> head{};
    try {
        const auto plain = unpacker_.decompress(archive::fd_source(open()));
        if (archive::read_full(plain, head) < head.size()) return std::nullopt;
    } catch (const base::Error&) {
        return std::nullopt;  // packed in a way, but not well
    }
    const bool empty = std::ranges::all_of(head, [](char c) { return c == '\0'; });
    if (empty || !archive::looks_like_tar({head.data(), head.size()})) return std::nullopt;
    return archive::fd_source(open());
}

}  // namespace dockerd::engine::builds
