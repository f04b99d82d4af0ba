#include "cdi/devices.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine::cdi {

namespace fs = std::filesystem;

namespace {

std::string read_file(const std::string& path) {
    constexpr std::size_t limit = 16UL << 20U;
    const base::Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    std::string out;
    std::array<char, 65536> buffer;  // filled by the reads
    for (;;) {
        const ssize_t got = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
        if (got < 0) {
            base::throw_errno(errno, fmt::format("failed to read CDI Spec {}: {} {}",
                                                 base::quote(path), file ? "read" : "open", path));
        }
        if (got == 0) return out;
        out.append(buffer.data(), static_cast<std::size_t>(got));
        if (out.size() > limit) {
            base::fail(base::ErrorKind::internal,
                       fmt::format("failed to read CDI Spec {}: too large", base::quote(path)));
        }
    }
}

/// The specifications in a folder, sorted; none in one that is not there.
std::vector<std::string> files_in(const std::string& folder) {
    std::vector<std::string> paths;
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
        const std::string extension = at->path().extension();
        std::error_code ignored;  // what vanished is no folder
        if (fs::is_directory(at->symlink_status(ignored))) continue;
        if (extension == ".json" || extension == ".yaml") paths.push_back(at->path());
    }
    std::ranges::sort(paths);
    return paths;
}

/// What another file, or another content, would make different.
std::string mark_of(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return fmt::format("{}\n{}\n", path, errno);
    return fmt::format("{}\n{} {} {} {}.{} {}.{}\n", path, info.st_dev, info.st_ino, info.st_size,
                       info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec,
                       info.st_ctim.tv_nsec);
}

}  // namespace

DevicesPtr Registry::current() {
    if (folders_.empty()) {
        base::fail(base::ErrorKind::internal, "no CDI specification directories specified");
    }
    const base::Lock lock(mutex_);
    std::string seen;
    for (const auto& folder : folders_) {
        for (const auto& path : files_in(folder)) seen += mark_of(path);
    }
    // Looked at before they are read: what changes in between is read once more.
    if (!devices_ || seen != seen_) {
        devices_ = std::make_shared<const Devices>(folders_);
        seen_ = std::move(seen);
    }
    return devices_;
}

Devices::Devices(const std::vector<std::string>& folders) {
    for (std::size_t i = 0; i < folders.size(); ++i) {
        for (const auto& path : files_in(folders[i])) {
            try {
                read(path, i);
            } catch (const base::Error& problem) {
                warnings_.push_back(
                    fmt::format("CDI: Error associated with spec file {}: failed to load CDI Spec "
                                "{}",
                                path, problem.what()));
            }
        }
    }
    for (const auto& [name, folder] : conflicts_) {
        if (const auto found = devices_.find(name); found != devices_.end()) devices_.erase(found);
    }
}

void Devices::read(const std::string& path, std::size_t folder) {
    specs_.push_back(parse_spec(read_file(path), path));
    paths_.push_back(path);
    const Spec& spec = specs_.back();
    for (std::size_t i = 0; i < spec.devices.size(); ++i) {
        const std::string name = spec.kind + "=" + spec.devices[i].name;
        const auto other = devices_.find(name);
        if (other != devices_.end() && other->second.folder == folder) {
            const auto& first = paths_[other->second.spec];
            for (const auto& file : {path, first}) {
                warnings_.push_back(fmt::format(
                    "CDI: Error associated with spec file {}: conflicting device {} (specs {}, {})",
                    file, base::quote(name), base::quote(path), base::quote(first)));
            }
            conflicts_[name] = folder;
            continue;
        }
        devices_[name] = {.spec = specs_.size() - 1, .device = i, .folder = folder};
    }
}

std::vector<std::string> Devices::names() const {
    std::vector<std::string> out;
    for (const auto& [name, found] : devices_) out.push_back(name);
    return out;
}

Edits Devices::edits(const std::vector<std::string>& names) const {
    Edits out;
    std::set<std::size_t> specs;
    std::vector<std::string> unknown;
    for (const auto& name : names) {
        const auto found = devices_.find(name);
        if (found == devices_.end()) {
            unknown.push_back(name);
            continue;
        }
        const Spec& spec = specs_[found->second.spec];
        if (specs.insert(found->second.spec).second) out.append(spec.edits);
        out.append(spec.devices[found->second.device].edits);
    }
    if (!unknown.empty()) {
        base::fail(base::ErrorKind::internal,
                   "unresolvable CDI devices " + base::join(unknown, ", "));
    }
    return out;
}

}  // namespace dockerd::engine::cdi
