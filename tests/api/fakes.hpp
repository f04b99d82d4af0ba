#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <dockerd/base/error.hpp>
#include <utility>

#include <dockerd/engine/services.hpp>

/// Engine services that record what they were asked and answer what the test sets. An operation
/// nobody set an answer for throws: a handler must not call what the test does not expect.
namespace dockerd::test {

using engine::ContainerPtr;
using engine::ContainerSnapshot;

[[noreturn]] inline void unexpected(const char* what) {
    base::fail(base::ErrorKind::internal, std::string("unexpected call of ") + what);
}

template <typename Function, typename... Args>
decltype(auto) answer(Function& function, const char* what, Args&&... args) {
    if (!function) unexpected(what);
    return function(std::forward<Args>(args)...);
}

class FakeContainers : public engine::ContainerService {
public:
    std::function<engine::CreateResult(std::string, const std::string&, model::ContainerCreate)>
        on_create;
    std::function<engine::StartOutcome(std::string_view)> on_start;
    std::function<engine::StopOutcome(std::string_view, const engine::StopOptions&)> on_stop;
    std::function<void(std::string_view, const engine::StopOptions&)> on_restart;
    std::function<void(std::string_view, const std::string&)> on_kill, on_rename;
    std::function<void(std::string_view, const engine::RemoveOptions&)> on_remove;
    std::function<void(std::string_view)> on_pause, on_unpause;
    std::function<void(std::string_view, std::uint16_t, std::uint16_t)> on_resize, on_exec_resize;
    std::function<std::vector<std::string>(std::string_view, const model::ContainerUpdate&)>
        on_update;
    std::function<engine::TopResult(std::string_view, const std::string&)> on_top;
    std::function<std::vector<engine::FileChange>(std::string_view)> on_changes;
    std::function<std::string(std::string_view, const engine::CommitOptions&)> on_commit;
    std::function<engine::StatsSample(std::string_view)> on_stats;
    std::function<ContainerPtr(std::string_view, bool)> on_inspect;
    std::function<std::vector<engine::ContainerSummary>(const engine::ListOptions&)> on_list;
    std::function<engine::Subscription(std::string_view, engine::WaitCondition,
                                       std::function<void(engine::WaitResult)>)>
        on_wait;
    std::function<std::unique_ptr<engine::StreamSession>(std::string_view,
                                                         const engine::AttachOptions&)>
        on_attach;
    std::function<std::unique_ptr<engine::LogStream>(std::string_view, const engine::LogOptions&)>
        on_logs;
    std::function<std::string(std::string_view, const model::ExecCreate&)> on_exec_create;
    std::function<std::unique_ptr<engine::StreamSession>(std::string_view, const model::ExecStart&)>
        on_exec_attach;
    std::function<void(std::string_view, const model::ExecStart&)> on_exec_start;
    std::function<engine::ExecSnapshot(std::string_view)> on_exec_inspect;
    std::function<engine::PathStat(std::string_view, const std::string&)> on_stat_path;
    std::function<void(std::string_view, const std::string&, engine::ContentEncoding,
                       const std::function<void(const engine::PathStat&)>&,
                       const engine::ByteWriter&)>
        on_archive_path;
    std::function<void(std::string_view, const std::string&, const engine::ExtractPathOptions&,
                       const engine::ByteReader&)>
        on_extract_to_path;
    std::function<void(std::string_view, const engine::ByteWriter&)> on_export_files;
    std::function<PruneResult(const model::Filters&)> on_prune;

    std::vector<std::string> verify(model::ContainerCreate) override { return {}; }
    engine::CreateResult create(std::string name, const std::string& platform,
                                model::ContainerCreate request) override;
    void keep(std::string_view /*reference*/) override {}
    engine::StartOutcome start(std::string_view reference, const std::string&) override;
    engine::StopOutcome stop(std::string_view reference,
                             const engine::StopOptions& options) override;
    void restart(std::string_view reference, const engine::StopOptions& options) override;
    void kill(std::string_view reference, const std::string& signal) override;
    void remove(std::string_view reference, const engine::RemoveOptions& options) override;
    void rename(std::string_view reference, const std::string& name) override;
    void pause(std::string_view reference) override;
    void unpause(std::string_view reference) override;
    void resize(std::string_view reference, std::uint16_t height, std::uint16_t width) override;
    std::vector<std::string> update(std::string_view reference,
                                    const model::ContainerUpdate& request) override;
    engine::TopResult top(std::string_view reference, const std::string& ps_args) override;
    std::vector<engine::FileChange> changes(std::string_view reference) override;
    std::string commit(std::string_view reference, const engine::CommitOptions& options) override;
    engine::StatsSample stats(std::string_view reference) override;
    ContainerPtr inspect(std::string_view reference, bool size) override;
    std::vector<engine::ContainerSummary> list(const engine::ListOptions& options) override;
    engine::Subscription wait(std::string_view reference, engine::WaitCondition condition,
                              std::function<void(engine::WaitResult)> done) override;
    std::unique_ptr<engine::StreamSession> attach(std::string_view reference,
                                                  const engine::AttachOptions& options) override;
    std::unique_ptr<engine::LogStream> logs(std::string_view reference,
                                            const engine::LogOptions& options) override;
    std::string exec_create(std::string_view reference, const model::ExecCreate& request) override;
    std::unique_ptr<engine::StreamSession> exec_attach(std::string_view id,
                                                       const model::ExecStart& request) override;
    void exec_start_detached(std::string_view id, const model::ExecStart& request) override;
    void exec_resize(std::string_view id, std::uint16_t height, std::uint16_t width) override;
    engine::ExecSnapshot exec_inspect(std::string_view id) override;
    engine::PathStat stat_path(std::string_view reference, const std::string& path) override;
    void archive_path(std::string_view reference, const std::string& path,
                      engine::ContentEncoding encoding,
                      const std::function<void(const engine::PathStat&)>& found,
                      const engine::ByteWriter& sink) override;
    void extract_to_path(std::string_view reference, const std::string& path,
                         const engine::ExtractPathOptions& options,
                         const engine::ByteReader& source) override;
    void export_files(std::string_view reference, const engine::ByteWriter& sink) override;
    PruneResult prune(const model::Filters& filters) override;
};

class FakeImages : public engine::ImageService {
public:
    std::function<std::vector<engine::ImageSummary>(const ListOptions&)> on_list;
    std::function<engine::ImageDetails(std::string_view, const std::string&)> on_inspect;
    std::function<std::vector<engine::ImageHistoryItem>(std::string_view, const std::string&)>
        on_history;
    std::function<void(std::string_view, const std::string&, const std::string&)> on_tag;
    std::function<std::vector<engine::ImageDeleteItem>(std::string_view, const RemoveOptions&)>
        on_remove;
    std::function<engine::ImagePruneResult(const model::Filters&)> on_prune;
    std::function<void(const engine::ByteReader&, const engine::ImportOptions&,
                       const engine::ProgressSink&)>
        on_import;
    std::function<void(const engine::ByteReader&, const LoadOptions&, const engine::ProgressSink&)>
        on_load;
    std::function<void(const std::vector<std::string>&, const std::string&)> on_check_save;
    std::function<void(const std::vector<std::string>&, const engine::ByteWriter&)> on_save;

    std::vector<engine::ImageSummary> list(const ListOptions& options) override;
    engine::ImageDetails inspect(std::string_view name, const std::string& platform) override;
    std::vector<engine::ImageHistoryItem> history(std::string_view name,
                                                  const std::string& platform) override;
    void tag(std::string_view name, const std::string& repository, const std::string& tag) override;
    std::vector<engine::ImageDeleteItem> remove(std::string_view name,
                                                const RemoveOptions& options) override;
    engine::ImagePruneResult prune(const model::Filters& filters) override;
    void import(const engine::ByteReader& source, const engine::ImportOptions& options,
                const engine::ProgressSink& progress) override;
    void load(const engine::ByteReader& source, const LoadOptions& options,
              const engine::ProgressSink& progress) override;
    void check_save(const std::vector<std::string>& names, const std::string& platform) override;
    void save(const std::vector<std::string>& names, const engine::ByteWriter& sink) override;
};

class FakeNetworks : public engine::NetworkService {
public:
    std::function<std::vector<engine::NetworkDetails>(const model::Filters&)> on_list;
    std::function<engine::NetworkDetails(std::string_view, const std::string&)> on_inspect;
    std::function<CreateResult(const model::NetworkCreate&)> on_create;
    std::function<void(std::string_view)> on_remove;
    std::function<void(std::string_view, const model::NetworkConnect&)> on_connect;
    std::function<void(std::string_view, const model::NetworkDisconnect&)> on_disconnect;
    std::function<std::vector<std::string>(const model::Filters&)> on_prune;

    std::vector<engine::NetworkDetails> list(const model::Filters& filters) override;
    engine::NetworkDetails inspect(std::string_view reference, const std::string& scope) override;
    CreateResult create(const model::NetworkCreate& request) override;
    void remove(std::string_view reference) override;
    void connect(std::string_view reference, const model::NetworkConnect& request) override;
    void disconnect(std::string_view reference, const model::NetworkDisconnect& request) override;
    std::vector<std::string> prune(const model::Filters& filters) override;
};

class FakeVolumes : public engine::VolumeService {
public:
    std::function<engine::VolumeList(const model::Filters&)> on_list;
    std::function<engine::Volume(std::string_view)> on_inspect;
    std::function<engine::Volume(const model::VolumeCreate&)> on_create;
    std::function<void(std::string_view, bool)> on_remove;
    std::function<PruneResult(const model::Filters&)> on_prune;

    engine::VolumeList list(const model::Filters& filters) override;
    engine::Volume inspect(std::string_view name) override;
    engine::Volume create(const model::VolumeCreate& request) override;
    void remove(std::string_view name, bool force) override;
    PruneResult prune(const model::Filters& filters) override;
};

class FakeEvents : public engine::EventService {
public:
    std::function<std::pair<std::vector<engine::EventPtr>, engine::Subscription>(
        const engine::EventQuery&, std::function<void(engine::EventPtr)>)>
        on_subscribe;

    std::pair<std::vector<engine::EventPtr>, engine::Subscription> subscribe(
        const engine::EventQuery& query, std::function<void(engine::EventPtr)> deliver) override;
};

class FakeSystem : public engine::SystemService {
public:
    engine::VersionInfo version_info;
    engine::SystemInfo system_info;
    engine::DiskUsage usage;
    bool unified = false;

    const engine::VersionInfo& version() override { return version_info; }
    engine::SystemInfo info() override { return system_info; }
    engine::DiskUsage disk_usage() override { return usage; }
    bool unified_cgroups() const override { return unified; }
};

class FakeRegistries : public engine::RegistryService {
public:
    std::function<void(const engine::PullOptions&, const engine::RegistryCaller&,
                       const engine::ProgressSink&)>
        on_pull;
    std::function<void(const engine::PushOptions&, const engine::RegistryCaller&,
                       const engine::ProgressSink&)>
        on_push;
    std::function<engine::LoginResult(const engine::RegistryCaller&)> on_login;
    std::function<engine::DistributionInfo(std::string_view, const engine::RegistryCaller&)>
        on_distribution;
    std::function<std::vector<engine::SearchItem>(const engine::SearchOptions&,
                                                  const engine::RegistryCaller&)>
        on_search;
    std::function<void(const std::string&, const engine::ImportOptions&,
                       const engine::RegistryCaller&, const engine::ProgressSink&)>
        on_import;

    void pull(const engine::PullOptions& options, const engine::RegistryCaller& caller,
              const engine::ProgressSink& progress) override;
    void push(const engine::PushOptions& options, const engine::RegistryCaller& caller,
              const engine::ProgressSink& progress) override;
    engine::LoginResult login(const engine::RegistryCaller& caller) override;
    engine::DistributionInfo distribution(std::string_view name,
                                          const engine::RegistryCaller& caller) override;
    std::vector<engine::SearchItem> search(const engine::SearchOptions& options,
                                           const engine::RegistryCaller& caller) override;
    void import(const std::string& url, const engine::ImportOptions& options,
                const engine::RegistryCaller& caller,
                const engine::ProgressSink& progress) override;
};

class FakeBuilds : public engine::BuildService {
public:
    std::function<std::string(const engine::BuildOptions&, const engine::ByteReader&,
                              const engine::ProgressSink&)>
        on_build;

    std::vector<engine::BuildCacheEntry> entries;  ///< all go with a prune
    engine::BuildPrune pruned;

    std::string build(const engine::BuildOptions& options, const engine::ByteReader& context,
                      const engine::ProgressSink& progress) override;
    std::vector<engine::BuildCacheEntry> caches() override { return entries; }
    std::vector<engine::BuildCacheEntry> prune(const engine::BuildPrune& what) override {
        pruned = what;
        return std::exchange(entries, {});
    }
};

struct Fakes {
    FakeContainers containers;
    FakeImages images;
    FakeNetworks networks;
    FakeVolumes volumes;
    FakeEvents events;
    FakeSystem system;
    FakeRegistries registries;
    FakeBuilds builds;

    engine::Services services() {
        return {containers, images, networks, volumes, events, system, registries,
                builds};
    }
};

}  // namespace dockerd::test
