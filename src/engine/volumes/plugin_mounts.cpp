#include "volumes/plugin_mounts.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/store/durable.hpp>

namespace dockerd::engine {
namespace {

std::vector<PluginMount> read_mounts(const std::string& path) {
    const std::filesystem::path place(path);
    const base::Fd folder{::open(place.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    std::vector<PluginMount> out;
    std::string text;
    try {
        text = store::read_file(folder.get(), place.filename());
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) base::log::error("{}", error.what());
        return out;
    }
    try {
        for (const auto& item : nlohmann::json::parse(text)) {
            out.push_back({item.at("driver"), item.at("volume"), item.at("id")});
        }
    } catch (const nlohmann::json::exception& error) {
        base::log::error("{}: {}", path, error.what());
    }
    return out;
}

}  // namespace

PluginMounts::PluginMounts(std::string path) : path_(std::move(path)) {
    if (path_.empty()) return;
    for (auto& mount : read_mounts(path_)) entries_.push_back({std::move(mount), State::lost});
}

/// Without a path nothing is kept: there is no next daemon.
void PluginMounts::write(bool durable) {
    if (path_.empty()) return;
    if (entries_.empty()) {
        (void)::unlink(path_.c_str());  // not there is as good
        return;
    }
    nlohmann::json json = nlohmann::json::array();
    for (const auto& entry : entries_) {
        json.push_back({{"driver", entry.mount.driver},
                        {"volume", entry.mount.volume},
                        {"id", entry.mount.id}});
    }
    const auto text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    if (durable) return store::write_durable(path_, text);
    const std::filesystem::path place(path_);
    const base::Fd folder{::open(place.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    store::Batch batch;  // not committed: a power cut makes it a mount that is given back once more
    batch.replace(folder.get(), place.filename(), text);
}

std::vector<PluginMounts::Entry>::iterator PluginMounts::find(const PluginMount& mount,
                                                              State state) {
    return std::ranges::find_if(entries_, [&](const Entry& entry) {
        return entry.mount == mount && entry.state == state;
    });
}

void PluginMounts::add(const PluginMount& mount) {
    const base::Lock lock(mutex_);
    entries_.push_back({mount, State::used});
    try {
        write(/*durable=*/true);
    } catch (const base::Error&) {
        entries_.pop_back();
        throw;
    }
}

void PluginMounts::drop(const PluginMount& mount, State state) noexcept {
    const base::Lock lock(mutex_);
    const auto found = find(mount, state);
    if (found != entries_.end()) entries_.erase(found);
    changed_.notify_all();
    try {
        write(/*durable=*/false);
    } catch (const std::exception& error) {
        base::log::error("{}", error.what());
    }
}

void PluginMounts::set(const PluginMount& mount, State from, State to) {
    const base::Lock lock(mutex_);
    const auto found = find(mount, from);
    if (found != entries_.end()) found->state = to;
    changed_.notify_all();
}

void PluginMounts::forget(const PluginMount& mount) { drop(mount, State::used); }
void PluginMounts::lose(const PluginMount& mount) { set(mount, State::used, State::lost); }

void PluginMounts::claim(const PluginMount& mount) {
    const base::Lock lock(mutex_);
    const auto found = find(mount, State::lost);
    if (found != entries_.end()) {
        found->state = State::used;
    } else {
        entries_.push_back({mount, State::used});
    }
}

bool PluginMounts::has_lost() const {
    const base::Lock lock(mutex_);
    return std::ranges::any_of(entries_,
                               [](const Entry& entry) { return entry.state == State::lost; });
}

void PluginMounts::give_back(const std::string& id, const Unmount& unmount) {
    std::vector<PluginMount> mine;
    {
        base::Lock lock(mutex_);
        const auto concerned = [&](const Entry& entry) {
            return id.empty() || entry.mount.id == id;
        };
        while (!id.empty() && std::ranges::any_of(entries_, [&](const Entry& entry) {
            return entry.state == State::leaving && concerned(entry);
        })) {
            changed_.wait(lock);
        }
        for (auto& entry : entries_) {
            if (entry.state != State::lost || !concerned(entry)) continue;
            entry.state = State::leaving;
            mine.push_back(entry.mount);
        }
    }
    for (const auto& mount : mine) {
        bool asked = false;
        try {
            asked = unmount(mount);
        } catch (const std::exception& error) {
            base::log::warn("volume {}: {}", mount.volume, error.what());
        }
        if (asked) {
            drop(mount, State::leaving);
        } else {
            set(mount, State::leaving, State::lost);
        }
    }
}

}  // namespace dockerd::engine
