#include "routes.hpp"

namespace dockerd::api {
namespace {

constexpr Method get = Method::get;
constexpr Method head = Method::head;
constexpr Method post = Method::post;
constexpr Method put = Method::put;
constexpr Method del = Method::del;

using C = ContainerHandlers;
using I = ImageHandlers;
using P = CopyHandlers;
using N = NetworkHandlers;
using V = VolumeHandlers;
using S = SystemHandlers;
using R = RegistryHandlers;
using B = BuildHandlers;
using A = AbsentHandlers;
using D = DebugHandlers;

}  // namespace

// The order is Docker's: a greedy name takes what comes before its end, so exact paths stand
// first. Source: moby api/server/router/*/*.go, initRoutes.

void Api::add_system_routes() {
    add(get, "/_ping", {1, 24}, inline_call(system_, &S::ping));
    add(head, "/_ping", {1, 40}, inline_call(system_, &S::ping));
    add(get, "/events", {1, 24}, session(streams_, &Streams::events));
    add(get, "/info", {1, 24}, call(system_, &S::info));
    add(get, "/version", {1, 24}, inline_call(system_, &S::version));
    add(get, "/system/df", {1, 25}, call(system_, &S::disk_usage));
    add(post, "/auth", {1, 24}, call(registries_, &R::login));
}

void Api::add_container_routes() {
    add(head, "/containers/{name:.*}/archive", {1, 24}, call(copies_, &P::stat));
    add(get, "/containers/json", {1, 24}, call(containers_, &C::list));
    add(get, "/containers/{name:.*}/export", {1, 24}, transfer(copies_, &P::export_files));
    add(get, "/containers/{name:.*}/changes", {1, 24}, call(containers_, &C::changes));
    add(get, "/containers/{name:.*}/json", {1, 24}, call(containers_, &C::inspect));
    add(get, "/containers/{name:.*}/top", {1, 24}, call(containers_, &C::top));
    add(get, "/containers/{name:.*}/logs", {1, 24}, session(streams_, &Streams::logs));
    add(get, "/containers/{name:.*}/stats", {1, 24}, session(streams_, &Streams::stats));
    add(get, "/containers/{name:.*}/attach/ws", {1, 24},
        session(streams_, &Streams::attach_websocket));
    add(get, "/exec/{id:.*}/json", {1, 24}, call(containers_, &C::exec_inspect));
    add(get, "/containers/{name:.*}/archive", {1, 24}, transfer(copies_, &P::archive));
    add(post, "/containers/create", {1, 24}, call(containers_, &C::create));
    add(post, "/containers/{name:.*}/kill", {1, 24}, call(containers_, &C::kill));
    add(post, "/containers/{name:.*}/pause", {1, 24}, call(containers_, &C::pause));
    add(post, "/containers/{name:.*}/unpause", {1, 24}, call(containers_, &C::unpause));
    add(post, "/containers/{name:.*}/restart", {1, 24}, call(containers_, &C::restart));
    add(post, "/containers/{name:.*}/start", {1, 24}, call(containers_, &C::start));
    add(post, "/containers/{name:.*}/stop", {1, 24}, call(containers_, &C::stop));
    add(post, "/containers/{name:.*}/wait", {1, 24}, session(streams_, &Streams::wait));
    add(post, "/containers/{name:.*}/resize", {1, 24}, call(containers_, &C::resize));
    add(post, "/containers/{name:.*}/attach", {1, 24},
        session(streams_, &Streams::attach, /*bare_errors=*/true));
    add(post, "/containers/{name:.*}/exec", {1, 24}, call(containers_, &C::exec_create));
    add(post, "/exec/{id:.*}/start", {1, 24}, session(streams_, &Streams::exec_start));
    add(post, "/exec/{id:.*}/resize", {1, 24}, call(containers_, &C::exec_resize));
    add(post, "/containers/{name:.*}/rename", {1, 24}, call(containers_, &C::rename));
    add(post, "/containers/{name:.*}/update", {1, 24}, call(containers_, &C::update));
    add(post, "/containers/prune", {1, 25}, call(containers_, &C::prune));
    add(post, "/commit", {1, 24}, call(containers_, &C::commit));
    add(put, "/containers/{name:.*}/archive", {1, 24}, transfer(copies_, &P::extract));
    add(get, "/containers/{name:.*}/checkpoints", {1, 25}, call(absent_, &A::checkpoints));
    add(post, "/containers/{name:.*}/checkpoints", {1, 25}, call(absent_, &A::checkpoints));
    add(del, "/containers/{name}/checkpoints/{checkpoint}", {1, 25},
        call(absent_, &A::checkpoints));
    add(del, "/containers/{name:.*}", {1, 24}, call(containers_, &C::remove));
}

void Api::add_image_routes() {
    add(get, "/images/json", {1, 24}, call(images_, &I::list));
    add(get, "/images/search", {1, 24}, call(registries_, &R::search));
    add(get, "/images/get", {1, 24}, transfer(images_, &I::save));
    add(get, "/images/{name:.*}/get", {1, 24}, transfer(images_, &I::save));
    add(get, "/images/{name:.*}/history", {1, 24}, call(images_, &I::history));
    add(get, "/images/{name:.*}/json", {1, 24}, call(images_, &I::inspect));
    add(post, "/images/load", {1, 24}, transfer(images_, &I::load));
    add(post, "/images/create", {1, 24}, transfer(images_, &I::create));
    add(post, "/images/{name:.*}/push", {1, 24}, transfer(images_, &I::push));
    add(post, "/images/{name:.*}/tag", {1, 24}, call(images_, &I::tag));
    add(post, "/images/prune", {1, 25}, call(images_, &I::prune));
    add(del, "/images/{name:.*}", {1, 24}, call(images_, &I::remove));
    add(get, "/distribution/{name:.*}/json", {1, 30}, call(registries_, &R::distribution));
}

void Api::add_build_routes() {
    add(post, "/build", {1, 24}, transfer(builds_, &B::build));
    add(post, "/build/prune", {1, 31}, call(builds_, &B::prune));
    add(post, "/build/cancel", {1, 31}, call(absent_, &A::build_cancel));
    add(post, "/session", {1, 31}, call(absent_, &A::session));
    add(post, "/grpc", {1, 39}, call(absent_, &A::grpc));
}

void Api::add_network_routes() {
    add(get, "/networks", {1, 24}, call(networks_, &N::list));
    add(get, "/networks/", {1, 24}, call(networks_, &N::list));
    add(get, "/networks/{id:.*}", {1, 24}, call(networks_, &N::inspect));
    add(post, "/networks/create", {1, 24}, call(networks_, &N::create));
    add(post, "/networks/{id:.*}/connect", {1, 24}, call(networks_, &N::connect));
    add(post, "/networks/{id:.*}/disconnect", {1, 24}, call(networks_, &N::disconnect));
    add(post, "/networks/prune", {1, 25}, call(networks_, &N::prune));
    add(del, "/networks/{id:.*}", {1, 24}, call(networks_, &N::remove));
}

void Api::add_volume_routes() {
    add(get, "/volumes", {1, 24}, call(volumes_, &V::list));
    add(get, "/volumes/{name:.*}", {1, 24}, call(volumes_, &V::inspect));
    add(post, "/volumes/create", {1, 24}, call(volumes_, &V::create));
    add(post, "/volumes/prune", {1, 25}, call(volumes_, &V::prune));
    add(put, "/volumes/{name:.*}", {1, 42}, call(volumes_, &V::update));
    add(del, "/volumes/{name:.*}", {1, 24}, call(volumes_, &V::remove));
}

void Api::add_swarm_routes() {
    add(post, "/swarm/init", {1, 24}, call(absent_, &A::swarm_join));
    add(post, "/swarm/join", {1, 24}, call(absent_, &A::swarm_join));
    add(post, "/swarm/leave", {1, 24}, call(absent_, &A::swarm_leave));
    add(get, "/swarm", {1, 24}, call(absent_, &A::swarm));
    add(get, "/swarm/unlockkey", {1, 24}, call(absent_, &A::swarm));
    add(post, "/swarm/update", {1, 24}, call(absent_, &A::swarm_update));
    add(post, "/swarm/unlock", {1, 24}, call(absent_, &A::swarm_create));
    add(get, "/services", {1, 24}, call(absent_, &A::services));
    add(get, "/services/{id}", {1, 24}, call(absent_, &A::service));
    add(post, "/services/create", {1, 24}, call(absent_, &A::swarm_create));
    add(post, "/services/{id}/update", {1, 24}, call(absent_, &A::service_update));
    add(del, "/services/{id}", {1, 24}, call(absent_, &A::swarm));
    add(get, "/services/{id}/logs", {1, 29}, call(absent_, &A::service_logs));
    add(get, "/nodes", {1, 24}, call(absent_, &A::swarm));
    add(get, "/nodes/{id}", {1, 24}, call(absent_, &A::swarm));
    add(del, "/nodes/{id}", {1, 24}, call(absent_, &A::swarm));
    add(post, "/nodes/{id}/update", {1, 24}, call(absent_, &A::node_update));
    add(get, "/tasks", {1, 24}, call(absent_, &A::swarm));
    add(get, "/tasks/{id}", {1, 24}, call(absent_, &A::swarm));
    add(get, "/tasks/{id}/logs", {1, 29}, call(absent_, &A::service_logs));
}

void Api::add_swarm_object_routes() {
    add(get, "/secrets", {1, 25}, call(absent_, &A::swarm));
    add(post, "/secrets/create", {1, 25}, call(absent_, &A::swarm_create));
    add(del, "/secrets/{id}", {1, 25}, call(absent_, &A::swarm));
    add(get, "/secrets/{id}", {1, 25}, call(absent_, &A::swarm));
    add(post, "/secrets/{id}/update", {1, 26}, call(absent_, &A::secret_update));
    add(get, "/configs", {1, 30}, call(absent_, &A::swarm));
    add(post, "/configs/create", {1, 30}, call(absent_, &A::swarm_create));
    add(del, "/configs/{id}", {1, 30}, call(absent_, &A::swarm));
    add(get, "/configs/{id}", {1, 30}, call(absent_, &A::swarm));
    add(post, "/configs/{id}/update", {1, 30}, call(absent_, &A::config_update));
}

void Api::add_plugin_routes() {
    add(get, "/plugins", {1, 25}, call(absent_, &A::plugins));
    add(get, "/plugins/{name:.*}/json", {1, 25}, call(absent_, &A::plugin));
    add(get, "/plugins/privileges", {1, 25}, call(absent_, &A::plugin_install));
    add(del, "/plugins/{name:.*}", {1, 25}, call(absent_, &A::plugin));
    add(post, "/plugins/{name:.*}/enable", {1, 25}, call(absent_, &A::plugin_enable));
    add(post, "/plugins/{name:.*}/disable", {1, 25}, call(absent_, &A::plugin));
    add(post, "/plugins/pull", {1, 25}, call(absent_, &A::plugin_install));
    add(post, "/plugins/{name:.*}/push", {1, 25}, call(absent_, &A::plugin));
    add(post, "/plugins/{name:.*}/upgrade", {1, 26}, call(absent_, &A::plugin_upgrade));
    add(post, "/plugins/{name:.*}/set", {1, 25}, call(absent_, &A::plugin_set));
    add(post, "/plugins/create", {1, 25}, call(absent_, &A::plugin_create));
}

void Api::add_debug_routes() {
    add(get, "/debug/vars", {1, 24}, call(debug_, &D::vars));
    add(get, "/debug/pprof/", {1, 24}, call(debug_, &D::index));
    add(get, "/debug/pprof/cmdline", {1, 24}, call(debug_, &D::command_line));
    add(get, "/debug/pprof/profile", {1, 24}, call(debug_, &D::profile));
    add(get, "/debug/pprof/symbol", {1, 24}, call(debug_, &D::symbol));
    add(get, "/debug/pprof/trace", {1, 24}, call(debug_, &D::profile));
    add(get, "/debug/pprof/{name}", {1, 24}, call(debug_, &D::named));
}

Api::Api(const engine::Services& services, const ApiOptions& options)
    : Router(options),
      containers_(services),
      copies_(services),
      images_(services),
      networks_(services),
      volumes_(services),
      system_(services, options),
      registries_(services),
      builds_(services),
      debug_(services),
      streams_(services) {
    add_system_routes();
    add_container_routes();
    add_image_routes();
    add_build_routes();
    add_network_routes();
    add_volume_routes();
    add_swarm_routes();
    add_swarm_object_routes();
    add_plugin_routes();
    add_debug_routes();
}

std::unique_ptr<http::Application> make_api(const engine::Services& services,
                                            const ApiOptions& options) {
    return std::make_unique<Api>(services, options);
}

}  // namespace dockerd::api
