#include "registries.hpp"

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/go_syntax.hpp>

#include "../params.hpp"
#include "images.hpp"
#include "text.hpp"

namespace dockerd::api::codec {
namespace {

using base::ErrorKind;
using base::fail;
using Json = nlohmann::ordered_json;

std::string text_field(const Json& json, std::string_view name) {
    for (const auto& [key, value] : json.items()) {
        if (!base::iequals(key, name) || value.is_null()) continue;
        if (!value.is_string()) {
            fail(ErrorKind::internal,
                 "json: cannot unmarshal " + std::string(value.is_number() ? "number" : value.type_name()) +
                     " into Go struct field AuthConfig." + std::string(name) + " of type string");
        }
        return value.get<std::string>();
    }
    return {};
}

/// Throws: internal, what Go's decoder says.
engine::RegistryCredentials read_credentials(std::string_view text) {
    if (base::trim(text).empty()) fail(ErrorKind::internal, "EOF");
    const auto syntax = model::scan_go_json(text);
    if (!syntax.error.empty()) fail(ErrorKind::internal, syntax.error);
    const Json json = Json::parse(text.substr(0, syntax.end), nullptr, /*allow_exceptions=*/false);
    engine::RegistryCredentials out;
    if (json.is_null()) return out;
    if (!json.is_object()) {
        fail(ErrorKind::internal, "json: cannot unmarshal " + std::string(json.type_name()) +
                                      " into Go value of type registry.AuthConfig");
    }
    out.username = text_field(json, "username");
    out.password = text_field(json, "password");
    out.server_address = text_field(json, "serveraddress");
    out.identity_token = text_field(json, "identitytoken");
    out.registry_token = text_field(json, "registrytoken");
    // As the configuration files of clients have it.
    const auto both = base::base64_decode(text_field(json, "auth"));
    const std::size_t colon = both ? both->find(':') : std::string::npos;
    if (out.username.empty() && colon != std::string::npos) {
        out.username = both->substr(0, colon);
        out.password = both->substr(colon + 1);
    }
    return out;
}

engine::RegistryCaller caller_of(const http::Request& request, int connection) {
    engine::RegistryCaller out;
    out.user_agent = request.headers.get("User-Agent");
    for (const auto& [name, value] : request.headers.all()) {
        if (base::iequals(name.substr(0, 7), "X-Meta-")) out.meta.emplace_back(name, value);
    }
    out.connection = connection;
    return out;
}

}  // namespace

engine::RegistryCaller decode_caller(const http::Request& request, int connection) {
    engine::RegistryCaller out = caller_of(request, connection);
    const auto text = base64_header(request, "X-Registry-Auth");
    if (!text || text->empty()) return out;
    try {
        out.credentials = read_credentials(*text);
    } catch (const base::Error&) {
        // Docker asks without credentials then.
    }
    return out;
}

engine::RegistryCaller decode_push_caller(const http::Request& request, int connection) {
    if (request.headers.contains("X-Registry-Auth")) return decode_caller(request, connection);
    engine::RegistryCaller out = caller_of(request, connection);
    try {
        out.credentials = read_credentials(request.body);
    } catch (const base::Error& error) {
        fail(ErrorKind::invalid_argument,
             std::string("bad parameters and missing X-Registry-Auth: invalid X-Registry-Auth "
                         "header: ") +
                 error.what());
    }
    return out;
}

engine::RegistryCaller decode_login(const http::Request& request) {
    engine::RegistryCaller out = caller_of(request, -1);
    out.credentials = read_credentials(request.body);
    return out;
}

std::map<std::string, engine::RegistryCredentials> decode_registry_config(
    const http::Request& request) {
    std::map<std::string, engine::RegistryCredentials> out;
    const auto text = base64_header(request, "X-Registry-Config");
    if (!text || !model::scan_go_json(*text).error.empty()) return out;
    const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return out;
    for (const auto& [registry, credentials] : json.items()) {
        try {
            out[registry] = read_credentials(credentials.dump());
        } catch (const base::Error&) {
            // Docker asks without credentials then.
        }
    }
    return out;
}

engine::PullOptions decode_pull(const http::Request& request) {
    engine::PullOptions out;
    out.image = request.param("fromImage", "");
    out.tag = request.param("tag", "");
    if (request.version >= ApiVersion{1, 32}) out.platform = request.param("platform", "");
    return out;
}

engine::PushOptions decode_push(const http::Request& request) {
    engine::PushOptions out;
    out.image = request.path_param("name");
    out.tag = request.param("tag", "");
    out.platform = decode_platform(request, {1, 46});
    return out;
}

engine::SearchOptions decode_search(const http::Request& request) {
    engine::SearchOptions out;
    const std::string limit = request.param("limit", "");
    if (!limit.empty()) {
        try {
            out.limit = int_param(request, "limit", 0);
        } catch (const base::Error& error) {
            fail(ErrorKind::invalid_argument,
                 std::string("invalid limit specified: ") + error.what());
        }
        // Docker wraps an error that is none here, and so says nothing and goes on.
        if (out.limit < 0) out.limit = 0;
    }
    out.filters = filters_param(request);
    out.term = request.param("term", "");
    return out;
}

std::string encode_login(const engine::LoginResult& result) {
    Text out(Text::Escape::html);
    {
        Object object(out);
        object("IdentityToken", result.identity_token);
        object("Status", result.status);
    }
    return out.take();
}

std::string encode_distribution(const engine::DistributionInfo& info) {
    Json platforms = nullptr;
    for (const auto& platform : info.platforms) {
        Json item;
        item["architecture"] = platform.architecture;
        item["os"] = platform.os;
        if (!platform.os_version.empty()) item["os.version"] = platform.os_version;
        if (!platform.os_features.empty()) item["os.features"] = platform.os_features;
        if (!platform.variant.empty()) item["variant"] = platform.variant;
        platforms.push_back(std::move(item));
    }
    Json descriptor;
    descriptor["mediaType"] = info.media_type;
    descriptor["digest"] = info.digest;
    descriptor["size"] = info.size;
    Json out;
    out["Descriptor"] = std::move(descriptor);
    out["Platforms"] = std::move(platforms);
    return out.dump();
}

std::string encode_search(const std::vector<engine::SearchItem>& items) {
    Json out = Json::array();
    for (const auto& item : items) {
        Json one;
        one["star_count"] = item.stars;
        one["is_official"] = item.official;
        one["name"] = item.name;
        one["is_automated"] = item.automated;
        one["description"] = item.description;
        out.push_back(std::move(one));
    }
    return out.dump();
}

}  // namespace dockerd::api::codec
