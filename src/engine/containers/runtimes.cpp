#include "runtimes.hpp"

#include <fmt/format.h>

#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::engine {
namespace {

using base::ErrorKind;

constexpr std::string_view stock = "runc";
constexpr std::string_view shim = "io.containerd.runc.v2";

bool is_stock(std::string_view name) { return name == stock || name == shim; }

/// Whether containerd would look for a shim of that name: it has a dot within, and no path.
/// Source: moby daemon/runtime_unix.go, isPermissibleC8dRuntimeName.
bool names_a_shim(std::string_view name) {
    return name.find('/') == std::string_view::npos && !name.starts_with('.') &&
           name.find('.') != std::string_view::npos;
}

[[noreturn]] void refuse(const std::string& why) { base::fail(ErrorKind::invalid_argument, why); }

void validate(const std::string& name, const RuntimeInfo& runtime) {
    const bool has_options = !runtime.options.empty() && runtime.options != "{}";
    if (runtime.path.empty() && runtime.type.empty()) {
        refuse(fmt::format("runtime {}: either a runtimeType or a path must be configured", name));
    }
    if (runtime.path.empty()) {
        if (runtime.args.empty()) return;
        refuse(fmt::format("runtime {}: args cannot be used with a runtimeType runtime", name));
    }
    if (!runtime.type.empty()) {
        refuse(fmt::format(
            "runtime {}: cannot configure both path and runtimeType for the same runtime", name));
    }
    if (has_options) {
        refuse(fmt::format("runtime {}: options cannot be used with a path runtime", name));
    }
}

}  // namespace

bool runs_here(const RuntimeInfo& runtime) {
    if (runtime.path.empty()) return runtime.type == shim;
    const std::string_view program =
        std::string_view(runtime.path).substr(runtime.path.rfind('/') + 1);
    return runtime.args.empty() && (program == "runc" || program == "crun");
}

void validate_runtimes(const Runtimes& runtimes) {
    if (runtimes.configured.contains(std::string(stock))) {
        refuse(fmt::format("runtime name '{}' is reserved", stock));
    }
    const std::string& name = runtimes.default_name;
    if (!name.empty() && !is_stock(name) && !runtimes.configured.contains(name) &&
        !names_a_shim(name)) {
        refuse(fmt::format("specified default runtime '{}' does not exist", name));
    }
    for (const auto& [other, runtime] : runtimes.configured) validate(other, runtime);
}

void require_runtime(const Runtimes& runtimes, const std::string& name) {
    if (is_stock(name)) return;
    const auto found = runtimes.configured.find(name);
    if (found == runtimes.configured.end()) refuse("unknown or invalid runtime name: " + name);
    if (runs_here(found->second)) return;
    // Containers of another runtime may rely on what it keeps them from: none is run without.
    base::fail(ErrorKind::not_implemented,
               fmt::format("runtime {} is configured, but this engine runs containers itself and "
                           "executes no other OCI runtime",
                           base::quote(name)));
}

}  // namespace dockerd::engine
