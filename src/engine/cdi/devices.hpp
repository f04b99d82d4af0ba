#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <dockerd/base/mutex.hpp>

#include "cdi/spec.hpp"

namespace dockerd::engine::cdi {

/// What the specifications in some folders say, at one moment.
class Devices {
public:
    /// Reads all ".json" and ".yaml" files of the folders; later folders win. Files that are wrong,
    /// and devices that two files of one folder have, are left out with a warning.
    /// Source: container-device-interface pkg/cdi, cache.go, refresh; spec-dirs.go.
    explicit Devices(const std::vector<std::string>& folders);

    /// "vendor.com/class=name" of all, sorted.
    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

    /// All edits for devices by their full names; those of a specification once.
    /// Throws: internal, "unresolvable CDI devices a, b".
    [[nodiscard]] Edits edits(const std::vector<std::string>& names) const;

private:
    struct Found {
        std::size_t spec = 0;  ///< index into specs_
        std::size_t device = 0;
        std::size_t folder = 0;
    };
    void read(const std::string& path, std::size_t folder);

    std::vector<Spec> specs_;
    std::vector<std::string> paths_;
    std::map<std::string, Found> devices_;
    std::map<std::string, std::size_t> conflicts_;  ///< name to folder
    std::vector<std::string> warnings_;
};
using DevicesPtr = std::shared_ptr<const Devices>;

/// The specifications of the daemon's folders, read again only when a file or a folder has changed.
/// Thread: any.
class Registry {
public:
    explicit Registry(std::vector<std::string> folders) : folders_(std::move(folders)) {}

    [[nodiscard]] const std::vector<std::string>& folders() const { return folders_; }
    /// What the files say now.
    /// Throws: internal, "no CDI specification directories specified".
    DevicesPtr current();

private:
    const std::vector<std::string> folders_;
    base::Mutex mutex_;
    /// What tells the files' states apart: of every folder and file its name, number, size, times.
    std::string seen_ DOCKERD_GUARDED_BY(mutex_);
    DevicesPtr devices_ DOCKERD_GUARDED_BY(mutex_);
};

}  // namespace dockerd::engine::cdi
