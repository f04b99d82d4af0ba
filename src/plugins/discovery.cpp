#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include <nlohmann/json.hpp>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/plugins/plugins.hpp>

namespace dockerd::plugins {
namespace {

namespace fs = std::filesystem;

bool is_socket(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

bool exists(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0;
}

/// Names in a folder, sorted; none when it cannot be read.
std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> out;
    std::error_code ignored;  // most machines have none of the folders
    for (fs::directory_iterator at(folder, ignored), end; at != end; at.increment(ignored)) {
        out.push_back(at->path().filename());
    }
    std::ranges::sort(out);
    return out;
}

std::string without_extension(const std::string& name) { return fs::path(name).stem(); }

bool is_specification(const std::string& name) {
    const std::string extension = fs::path(name).extension();
    return extension == ".spec" || extension == ".json";
}

std::array<std::string, 2> places(const std::string& folder, const std::string& name,
                                  const char* extension) {
    return {folder + "/" + name + extension, folder + "/" + name + "/" + name + extension};
}

std::string read_small_file(const std::string& path) {
    constexpr std::size_t limit = 1UL << 20U;
    const base::Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) base::throw_errno(errno, "open " + path);
    std::string out;
    std::array<char, 4096> buffer{};
    while (out.size() < limit) {
        const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
        if (got < 0) base::throw_errno(errno, "read " + path);
        if (got == 0) break;
        out.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return out;
}

/// A field by its name in any case, as Go's decoder finds it.
const nlohmann::json* field(const nlohmann::json& object, std::string_view name) {
    if (!object.is_object()) return nullptr;
    for (const auto& [key, value] : object.items()) {
        if (base::iequals(key, name)) return &value;
    }
    return nullptr;
}

std::string text(const nlohmann::json& object, std::string_view name) {
    const auto* const found = field(object, name);
    return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

Endpoint endpoint_of_json(const std::string& path) {
    nlohmann::json json;
    try {
        json = nlohmann::json::parse(read_small_file(path));
    } catch (const nlohmann::json::exception& error) {
        base::fail(base::ErrorKind::internal, path + ": " + error.what());
    }
    Endpoint endpoint = parse_endpoint(text(json, "Addr"));
    const auto* const tls = field(json, "TLSConfig");
    if (tls == nullptr || tls->is_null()) return endpoint;
    endpoint.ca_file = text(*tls, "CAFile");
    endpoint.cert_file = text(*tls, "CertFile");
    endpoint.key_file = text(*tls, "KeyFile");
    const auto* const skip = field(*tls, "InsecureSkipVerify");
    // Source: moby pkg/plugins/discovery.go, readPluginJSONInfo.
    endpoint.skip_verify = endpoint.ca_file.empty() ||
                           (skip != nullptr && skip->is_boolean() && skip->get<bool>());
    return endpoint;
}

}  // namespace

std::vector<std::string> scan(const Options& options) {
    std::vector<std::string> found;
    for (const auto& name : names_in(options.sockets)) {
        const bool own_folder = is_socket(options.sockets + "/" + name + "/" + name + ".sock");
        if (own_folder) {
            found.push_back(name);
        } else if (is_socket(options.sockets + "/" + name)) {
            found.push_back(without_extension(name));
        }
    }
    for (const auto& folder : options.specs) {
        for (const auto& name : names_in(folder)) {
            if (is_specification(name)) {
                found.push_back(without_extension(name));
                continue;
            }
            const auto inner = names_in(folder + "/" + name);
            const auto same = std::ranges::find_if(
                inner, [&](const auto& file) { return without_extension(file) == name; });
            if (same != inner.end() && is_specification(*same)) found.push_back(name);
        }
    }
    std::ranges::sort(found);
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

std::optional<Endpoint> find_endpoint(const Options& options, const std::string& name) {
    // A name is one part of a path; a client chooses it.
    if (name.empty() || name.find('/') != std::string::npos || name.starts_with('.')) return {};
    for (const auto& path : places(options.sockets, name, ".sock")) {
        if (is_socket(path)) return parse_endpoint("unix://" + path);
    }
    for (const auto& folder : options.specs) {
        for (const auto& path : places(folder, name, ".spec")) {
            if (exists(path)) return parse_endpoint(std::string(base::trim(read_small_file(path))));
        }
        for (const auto& path : places(folder, name, ".json")) {
            if (exists(path)) return endpoint_of_json(path);
        }
    }
    return std::nullopt;
}

Endpoint parse_endpoint(const std::string& address) {
    const std::size_t colon = address.find("://");
    if (colon == std::string::npos || colon == 0) {
        base::fail(base::ErrorKind::internal, "Unknown protocol");
    }
    Endpoint endpoint;
    const std::string scheme = base::to_lower(address.substr(0, colon));
    std::string rest = address.substr(colon + 3);
    if (scheme == "unix") {
        endpoint.network = "unix";
        endpoint.path = rest;
        return endpoint;
    }
    endpoint.network = "tcp";
    endpoint.tls = scheme == "https";
    rest = rest.substr(0, rest.find('/'));
    std::size_t port = rest.rfind(':');
    if (port != std::string::npos && rest.find(']', port) != std::string::npos) {
        port = std::string::npos;  // inside "[::1]"
    }
    endpoint.host = rest.substr(0, port);
    if (endpoint.host.starts_with('[') && endpoint.host.ends_with(']')) {
        endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
    }
    endpoint.port_given = port != std::string::npos;
    endpoint.port = endpoint.port_given ? rest.substr(port + 1) : endpoint.tls ? "443" : "80";
    return endpoint;
}

}  // namespace dockerd::plugins
