#include "fakes.hpp"

namespace dockerd::test {

engine::CreateResult FakeContainers::create(std::string name, const std::string& platform,
                                            model::ContainerCreate request) {
    return answer(on_create, "create", std::move(name), platform, std::move(request));
}
engine::StartOutcome FakeContainers::start(std::string_view reference,
                                           const std::string& /*detach_keys*/) {
    return answer(on_start, "start", reference);
}
engine::StopOutcome FakeContainers::stop(std::string_view reference,
                                         const engine::StopOptions& options) {
    return answer(on_stop, "stop", reference, options);
}
void FakeContainers::restart(std::string_view reference, const engine::StopOptions& options) {
    return answer(on_restart, "restart", reference, options);
}
void FakeContainers::kill(std::string_view reference, const std::string& signal) {
    return answer(on_kill, "kill", reference, signal);
}
void FakeContainers::remove(std::string_view reference, const engine::RemoveOptions& options) {
    return answer(on_remove, "remove", reference, options);
}
void FakeContainers::rename(std::string_view reference, const std::string& name) {
    return answer(on_rename, "rename", reference, name);
}
void FakeContainers::pause(std::string_view reference) {
    return answer(on_pause, "pause", reference);
}
void FakeContainers::unpause(std::string_view reference) {
    return answer(on_unpause, "unpause", reference);
}
void FakeContainers::resize(std::string_view reference, std::uint16_t height, std::uint16_t width) {
    return answer(on_resize, "resize", reference, height, width);
}
std::vector<std::string> FakeContainers::update(std::string_view reference,
                                                const model::ContainerUpdate& request) {
    return answer(on_update, "update", reference, request);
}
engine::TopResult FakeContainers::top(std::string_view reference, const std::string& ps_args) {
    return answer(on_top, "top", reference, ps_args);
}
std::vector<engine::FileChange> FakeContainers::changes(std::string_view reference) {
    return answer(on_changes, "changes", reference);
}
std::string FakeContainers::commit(std::string_view reference,
                                   const engine::CommitOptions& options) {
    return answer(on_commit, "commit", reference, options);
}
engine::StatsSample FakeContainers::stats(std::string_view reference) {
    return answer(on_stats, "stats", reference);
}
ContainerPtr FakeContainers::inspect(std::string_view reference, bool size) {
    return answer(on_inspect, "inspect", reference, size);
}
std::vector<engine::ContainerSummary> FakeContainers::list(const engine::ListOptions& options) {
    return answer(on_list, "list", options);
}
engine::Subscription FakeContainers::wait(std::string_view reference,
                                          engine::WaitCondition condition,
                                          std::function<void(engine::WaitResult)> done) {
    return answer(on_wait, "wait", reference, condition, std::move(done));
}
std::unique_ptr<engine::StreamSession> FakeContainers::attach(
    std::string_view reference, const engine::AttachOptions& options) {
    return answer(on_attach, "attach", reference, options);
}
std::unique_ptr<engine::LogStream> FakeContainers::logs(std::string_view reference,
                                                        const engine::LogOptions& options) {
    return answer(on_logs, "logs", reference, options);
}
std::string FakeContainers::exec_create(std::string_view reference,
                                        const model::ExecCreate& request) {
    return answer(on_exec_create, "exec_create", reference, request);
}
std::unique_ptr<engine::StreamSession> FakeContainers::exec_attach(
    std::string_view id, const model::ExecStart& request) {
    return answer(on_exec_attach, "exec_attach", id, request);
}
void FakeContainers::exec_start_detached(std::string_view id, const model::ExecStart& request) {
    return answer(on_exec_start, "exec_start_detached", id, request);
}
void FakeContainers::exec_resize(std::string_view id, std::uint16_t height, std::uint16_t width) {
    return answer(on_exec_resize, "exec_resize", id, height, width);
}
engine::ExecSnapshot FakeContainers::exec_inspect(std::string_view id) {
    return answer(on_exec_inspect, "exec_inspect", id);
}
engine::PathStat FakeContainers::stat_path(std::string_view reference, const std::string& path) {
    return answer(on_stat_path, "stat_path", reference, path);
}
void FakeContainers::archive_path(std::string_view reference, const std::string& path,
                                  engine::ContentEncoding encoding,
                                  const std::function<void(const engine::PathStat&)>& found,
                                  const engine::ByteWriter& sink) {
    return answer(on_archive_path, "archive_path", reference, path, encoding, found, sink);
}
void FakeContainers::extract_to_path(std::string_view reference, const std::string& path,
                                     const engine::ExtractPathOptions& options,
                                     const engine::ByteReader& source) {
    return answer(on_extract_to_path, "extract_to_path", reference, path, options, source);
}
void FakeContainers::export_files(std::string_view reference, const engine::ByteWriter& sink) {
    return answer(on_export_files, "export_files", reference, sink);
}
engine::ContainerService::PruneResult FakeContainers::prune(const model::Filters& filters) {
    return answer(on_prune, "prune", filters);
}

std::vector<engine::ImageSummary> FakeImages::list(const ListOptions& options) {
    return answer(on_list, "list", options);
}
engine::ImageDetails FakeImages::inspect(std::string_view name, const std::string& platform) {
    return answer(on_inspect, "inspect", name, platform);
}
std::vector<engine::ImageHistoryItem> FakeImages::history(std::string_view name,
                                                          const std::string& platform) {
    return answer(on_history, "history", name, platform);
}
void FakeImages::tag(std::string_view name, const std::string& repository, const std::string& tag) {
    return answer(on_tag, "tag", name, repository, tag);
}
std::vector<engine::ImageDeleteItem> FakeImages::remove(std::string_view name,
                                                        const RemoveOptions& options) {
    return answer(on_remove, "remove", name, options);
}
engine::ImagePruneResult FakeImages::prune(const model::Filters& filters) {
    return answer(on_prune, "prune", filters);
}
void FakeImages::import(const engine::ByteReader& source, const engine::ImportOptions& options,
                        const engine::ProgressSink& progress) {
    return answer(on_import, "import", source, options, progress);
}
void FakeImages::load(const engine::ByteReader& source, const LoadOptions& options,
                      const engine::ProgressSink& progress) {
    return answer(on_load, "load", source, options, progress);
}
void FakeImages::check_save(const std::vector<std::string>& names, const std::string& platform) {
    return answer(on_check_save, "check_save", names, platform);
}
void FakeImages::save(const std::vector<std::string>& names, const engine::ByteWriter& sink) {
    return answer(on_save, "save", names, sink);
}

void FakeRegistries::pull(const engine::PullOptions& options, const engine::RegistryCaller& caller,
                          const engine::ProgressSink& progress) {
    return answer(on_pull, "pull", options, caller, progress);
}
void FakeRegistries::push(const engine::PushOptions& options, const engine::RegistryCaller& caller,
                          const engine::ProgressSink& progress) {
    return answer(on_push, "push", options, caller, progress);
}
engine::LoginResult FakeRegistries::login(const engine::RegistryCaller& caller) {
    return answer(on_login, "login", caller);
}
engine::DistributionInfo FakeRegistries::distribution(std::string_view name,
                                                      const engine::RegistryCaller& caller) {
    return answer(on_distribution, "distribution", name, caller);
}
std::vector<engine::SearchItem> FakeRegistries::search(const engine::SearchOptions& options,
                                                       const engine::RegistryCaller& caller) {
    return answer(on_search, "search", options, caller);
}
void FakeRegistries::import(const std::string& url, const engine::ImportOptions& options,
                            const engine::RegistryCaller& caller,
                            const engine::ProgressSink& progress) {
    return answer(on_import, "import", url, options, caller, progress);
}

std::string FakeBuilds::build(const engine::BuildOptions& options,
                              const engine::ByteReader& context,
                              const engine::ProgressSink& progress) {
    return answer(on_build, "build", options, context, progress);
}

std::vector<engine::NetworkDetails> FakeNetworks::list(const model::Filters& filters) {
    return answer(on_list, "list", filters);
}
engine::NetworkDetails FakeNetworks::inspect(std::string_view reference, const std::string& scope) {
    return answer(on_inspect, "inspect", reference, scope);
}
engine::NetworkService::CreateResult FakeNetworks::create(const model::NetworkCreate& request) {
    return answer(on_create, "create", request);
}
void FakeNetworks::remove(std::string_view reference) {
    return answer(on_remove, "remove", reference);
}
void FakeNetworks::connect(std::string_view reference, const model::NetworkConnect& request) {
    return answer(on_connect, "connect", reference, request);
}
void FakeNetworks::disconnect(std::string_view reference, const model::NetworkDisconnect& request) {
    return answer(on_disconnect, "disconnect", reference, request);
}
std::vector<std::string> FakeNetworks::prune(const model::Filters& filters) {
    return answer(on_prune, "prune", filters);
}

engine::VolumeList FakeVolumes::list(const model::Filters& filters) {
    return answer(on_list, "list", filters);
}
engine::Volume FakeVolumes::inspect(std::string_view name) {
    return answer(on_inspect, "inspect", name);
}
engine::Volume FakeVolumes::create(const model::VolumeCreate& request) {
    return answer(on_create, "create", request);
}
void FakeVolumes::remove(std::string_view name, bool force) {
    return answer(on_remove, "remove", name, force);
}
engine::VolumeService::PruneResult FakeVolumes::prune(const model::Filters& filters) {
    return answer(on_prune, "prune", filters);
}

std::pair<std::vector<engine::EventPtr>, engine::Subscription> FakeEvents::subscribe(
    const engine::EventQuery& query, std::function<void(engine::EventPtr)> deliver) {
    return answer(on_subscribe, "subscribe", query, std::move(deliver));
}

}  // namespace dockerd::test
