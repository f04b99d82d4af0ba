#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/build/run_mount.hpp>
#include <dockerd/engine/build.hpp>

namespace dockerd::engine::builds {

/// Folders of `RUN --mount=type=cache`, which outlive builds: `<data-root>/build-cache/<name>/`
/// with `data`, what the commands see, and `id`, what it is called.
///
/// Thread: any.
class CacheMounts {
public:
    explicit CacheMounts(std::string folder);

    /// A folder in use. Gives it back on destruction.
    class Lease {
    public:
        Lease(CacheMounts& owner, std::string name) : owner_(owner), name_(std::move(name)) {}
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        ~Lease();
        [[nodiscard]] std::string path() const;

    private:
        CacheMounts& owner_;
        std::string name_;
    };

    /// Puts what a folder begins with into an empty one, and gives it its owner and mode.
    using Fill = std::function<void(int data)>;
    /// Takes the folder of `id`, made if it is missing. By the mount's sharing a folder in use is
    /// shared, waited for, or another one is taken. `fill`: of a new one; without it, it is empty.
    /// Throws: internal, "mkdir <path>: <errno text>"; unavailable, "context canceled"; as `fill`.
    std::unique_ptr<Lease> take(const std::string& id, const build::RunMount& mount,
                                const base::Cancellation& cancellation, const Fill& fill = {});

    [[nodiscard]] std::vector<BuildCacheEntry> list();
    std::vector<BuildCacheEntry> prune(const BuildPrune& what);

private:
    void make(const std::string& name, const std::string& id, const build::RunMount& mount,
              const Fill& fill) const;
    void give_back(const std::string& name);
    [[nodiscard]] base::Fd open_folder() const;
    [[nodiscard]] std::vector<BuildCacheEntry> read_entries() const DOCKERD_REQUIRES(mutex_);

    const std::string folder_;
    base::Mutex mutex_;
    std::condition_variable_any freed_;
    std::map<std::string, int> users_ DOCKERD_GUARDED_BY(mutex_);
    std::set<std::string> made_ DOCKERD_GUARDED_BY(mutex_);  ///< just being made, by one for all
};

}  // namespace dockerd::engine::builds
