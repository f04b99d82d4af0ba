#include <dockerd/model/json.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/fields.hpp>

#include <dockerd/model/go_syntax.hpp>

#include "go_types.hpp"

namespace dockerd::model {
namespace {

using base::Error;
using base::ErrorKind;
using base::Json;

/// Where in a document the decoder is, for messages.
struct Place {
    const char* struct_name = nullptr;
    std::string path;
    const char* field = nullptr;  ///< the last part of the path; nullptr inside a list or map

    [[nodiscard]] Place element() const { return {struct_name, path}; }
    [[nodiscard]] const GoField* go_field() const {
        return field == nullptr ? nullptr : find_go_field(struct_name, field);
    }
};

std::string json_kind(const Json& json) {
    switch (json.type()) {
        case Json::value_t::object:
            return "object";
        case Json::value_t::array:
            return "array";
        case Json::value_t::string:
            return "string";
        case Json::value_t::boolean:
            return "bool";
        case Json::value_t::number_integer:
        case Json::value_t::number_unsigned:
        case Json::value_t::number_float:
            return "number";
        default:
            return "null";
    }
}

[[noreturn]] void wrong_type(const Json& json, const Place& place, const std::string& go_type,
                             bool with_value = false) {
    std::string what = json_kind(json);
    if (with_value) what += " " + json.dump();
    std::string text = "json: cannot unmarshal " + what + " into Go ";
    if (place.struct_name != nullptr) {
        text += std::string("struct field ") + place.struct_name + "." + place.path;
    } else {
        text += "value";
    }
    const GoField* known = place.go_field();
    base::fail(ErrorKind::invalid_argument,
               text + " of type " + (known != nullptr ? known->type : go_type));
}

void read(const Json& json, std::string& out, const Place& place) {
    if (!json.is_string()) wrong_type(json, place, "string");
    out = json.get_ref<const std::string&>();
}

void read(const Json& json, bool& out, const Place& place) {
    if (!json.is_boolean()) wrong_type(json, place, "bool");
    out = json.get<bool>();
}

void read(const Json& json, std::int64_t& out, const Place& place) {
    if (!json.is_number()) wrong_type(json, place, "int64");
    const bool too_big = json.is_number_unsigned() &&
                         json.get<std::uint64_t>() >
                             static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (json.is_number_float() || too_big) wrong_type(json, place, "int64", /*with_value=*/true);
    out = json.get<std::int64_t>();
    if (out >= 0 && out <= UINT16_MAX) return;
    const GoField* known = place.go_field();
    if (known == nullptr || known->most == 0) return;
    if (out < known->least || out > known->most) {
        wrong_type(json, place, "int64", /*with_value=*/true);
    }
}

void read(const Json& json, std::uint64_t& out, const Place& place) {
    if (!json.is_number()) wrong_type(json, place, "uint64");
    if (!json.is_number_unsigned()) wrong_type(json, place, "uint64", /*with_value=*/true);
    out = json.get<std::uint64_t>();
}

void read(const Json& json, Empty& /*out*/, const Place& place) {
    if (!json.is_object()) wrong_type(json, place, "struct {}");
}

template <typename T>
requires(GoName<T>::value != nullptr) void read(const Json& json, T& out, const Place& place);
template <typename T>
void read(const Json& json, std::optional<T>& out, const Place& place);
template <typename T>
void read(const Json& json, List<T>& out, const Place& place);
template <typename T>
void read(const Json& json, Map<T>& out, const Place& place);

/// Go's zero value: null leaves it for scalars and structs, and clears what can be nil.
template <typename T>
void read_or_null(const Json& json, T& out, const Place& place) {
    if (json.is_null()) {
        if constexpr (
            requires { out.given; } || requires { out.has_value(); })
            out = T{};
        return;
    }
    read(json, out, place);
}

void read(const Json& json, StrSlice& out, const Place& place) {
    if (json.is_string()) {
        out.assign(1, json.get<std::string>());
        out.given = true;
        return;
    }
    // What is no list of strings is reported as what it might have been otherwise.
    const bool fits = json.is_array() && std::ranges::all_of(json, [](const Json& item) {
                          return item.is_string() || item.is_null();
                      });
    if (!fits) wrong_type(json, place, "string");
    read(json, static_cast<Strings&>(out), place);
}

void read(const Json& json, std::array<std::int64_t, 2>& out, const Place& place) {
    if (!json.is_array()) wrong_type(json, place, "[2]uint");
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = 0;
        if (i >= json.size() || json[i].is_null()) continue;
        if (!json[i].is_number()) wrong_type(json[i], place.element(), "uint");
        if (!json[i].is_number_unsigned()) {
            wrong_type(json[i], place.element(), "uint", /*with_value=*/true);
        }
        out[i] = json[i].get<std::int64_t>();
    }
}

template <typename T>
const char* go_element_name() {
    if constexpr (std::same_as<T, std::string>) return "string";
    if constexpr (std::same_as<T, Strings>) return "[]string";
    if constexpr (GoName<T>::value != nullptr) return GoName<T>::qualified;
    return "struct {}";
}

template <typename T>
void read(const Json& json, std::optional<T>& out, const Place& place) {
    T value{};
    if (out) value = *out;
    read(json, value, place);
    out = std::move(value);
}

template <typename T>
void read(const Json& json, List<T>& out, const Place& place) {
    if (!json.is_array()) {
        wrong_type(json, place, std::string("[]") + go_element_name<T>());
    }
    out.clear();
    out.given = true;
    for (const Json& item : json) {
        T value{};
        read_or_null(item, value, place.element());
        out.push_back(std::move(value));
    }
}

template <typename T>
void read(const Json& json, Map<T>& out, const Place& place) {
    if (!json.is_object()) {
        wrong_type(json, place, std::string("map[string]") + go_element_name<T>());
    }
    out.given = true;
    for (const auto& [key, item] : json.items()) {
        T value{};
        read_or_null(item, value, place.element());
        out[key] = std::move(value);
    }
}

/// A visitor that takes each field's value from a JSON object.
class Decoder {
public:
    Decoder(const Json& object, const char* struct_name, const std::string& path)
        : struct_name_(struct_name), path_(path) {
        const auto& members = object.get_ref<const Json::object_t&>();
        members_.reserve(members.size());
        for (const auto& [key, value] : members) members_.push_back({sketch(key), &key, &value});
    }

    template <typename T>
    void operator()(const char* name, T& field) {
        const std::uint32_t wanted = sketch(name);
        for (const auto& [likeness, key, value] : members_) {
            if (likeness != wanted || !base::iequals(*key, name)) continue;
            ++matched_;
            const Place place{struct_name_, (path_.empty() ? "" : path_ + ".") + embedded_ + name,
                              name};
            read_or_null(*value, field, place);
        }
    }
    template <typename T>
    void operator()(const char* name, T& field, OmitEmpty /*tag*/) {
        (*this)(name, field);
    }
    void enter(const char* name) { embedded_ = std::string(name) + "."; }
    void leave() { embedded_.clear(); }
    [[nodiscard]] int matched() const { return matched_; }

private:
    struct Member {
        std::uint32_t likeness;
        const std::string* key;
        const Json* value;
    };

    /// The same for names that differ in case alone, and for few others: most comparisons of an object's
    /// many names with a struct's many fields end here.
    static std::uint32_t sketch(std::string_view name) {
        const auto folded = [&](std::size_t at) {
            return static_cast<std::uint32_t>(static_cast<unsigned char>(name[at]) | 0x20U);
        };
        const auto size = static_cast<std::uint32_t>(name.size());
        return name.empty() ? 0 : size << 16U | folded(0) << 8U | folded(name.size() - 1);
    }

    std::vector<Member> members_;
    const char* struct_name_;
    const std::string& path_;
    std::string embedded_;
    int matched_ = 0;
};

/// ConfigFrom is {"Network": "name"}, of which only the name is kept.
void read_config_from(const Json& json, NetworkCreate& out) {
    for (const auto& [key, value] : json.items()) {
        if (!base::iequals(key, "ConfigFrom") || value.is_null()) continue;
        const std::string path = "CreateOptions.ConfigFrom";
        if (!value.is_object()) {
            wrong_type(value, {GoName<NetworkCreate>::value, path}, "network.ConfigReference");
        }
        Decoder reference(value, "ConfigReference", path);
        reference("Network", out.config_from);
    }
}

template <typename T>
requires(GoName<T>::value != nullptr) void read(const Json& json, T& out, const Place& place) {
    if (!json.is_object()) {
        wrong_type(json, place, std::string(GoName<T>::qualified));
    }
    if constexpr (std::same_as<T, ContainerCreate>) {
        Decoder config(json, GoName<T>::value, place.path);
        embed(config, "Config", out.config);
        out.has_config = config.matched() > 0;
        Decoder rest(json, GoName<T>::value, place.path);
        rest("HostConfig", out.host_config);
        rest("NetworkingConfig", out.networking_config);
    } else if constexpr (std::same_as<T, NetworkCreate>) {
        Json plain = Json::object();
        for (const auto& [key, value] : json.items()) {
            if (!base::iequals(key, "ConfigFrom")) plain[key] = value;
        }
        Decoder decoder(plain, GoName<T>::value, place.path);
        visit(decoder, out);
        read_config_from(json, out);
    } else {
        Decoder decoder(json, GoName<T>::value, place.path);
        visit(decoder, out);
    }
}

template <typename T>
Json write(const T& value);

/// A visitor that appends each field to a JSON object.
class Encoder {
public:
    template <typename T>
    void operator()(const char* name, const T& field) {
        out_[name] = write(field);
    }
    template <typename T>
    void operator()(const char* name, const T& field, OmitEmpty /*tag*/) {
        if (!is_empty(field)) (*this)(name, field);
    }
    Json take() { return std::move(out_); }

private:
    template <typename T>
    static bool is_empty(const T& field) {
        if constexpr (requires { field.has_value(); }) {
            return !field.has_value();
        } else if constexpr (requires { field.empty(); }) {
            return field.empty();
        } else {
            return field == T{};
        }
    }
    Json out_ = Json::object();
};

template <typename T>
Json write(const T& value) {
    if constexpr (GoName<T>::value != nullptr) {
        Encoder encoder;
        visit(encoder, value);
        return encoder.take();
    } else if constexpr (std::same_as<T, Empty>) {
        return Json::object();
    } else if constexpr (requires { value.has_value(); }) {
        return value ? write(*value) : Json(nullptr);
    } else if constexpr (requires { value.given; }) {
        if (value.is_null()) return nullptr;
        if constexpr (requires { typename T::mapped_type; }) {
            Json out = Json::object();
            for (const auto& [key, item] : value) out[key] = write(item);
            return out;
        } else {
            Json out = Json::array();
            for (const auto& item : value) out.push_back(write(item));
            return out;
        }
    } else {
        return value;
    }
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

Json parse_first_value(std::string_view body) {
    const GoSyntax syntax = scan_go_json(body);
    if (!syntax.error.empty()) base::fail(ErrorKind::invalid_argument, syntax.error);
    try {
        return Json::parse(replace_invalid_utf8(body.substr(0, syntax.end)));
    } catch (const Json::exception& error) {
        base::fail(ErrorKind::invalid_argument, error.what());
    }
}

}  // namespace

template <typename T>
void decode(const Json& json, T& out) {
    if (!json.is_null()) read(json, out, Place{});
    if constexpr (std::same_as<T, ContainerCreate>) {
        // Source: moby runconfig/config.go, decodeContainerConfig.
        if (out.has_config && out.host_config) out.config.volumes.given = true;
    }
}

template <typename T>
T decode_body(std::string_view body) {
    if (base::trim(body).empty()) {
        base::fail(ErrorKind::invalid_argument, "invalid JSON: got EOF while reading request body");
    }
    T out{};
    base::in_context("invalid JSON", [&] { decode(parse_first_value(body), out); });
    const GoSyntax syntax = scan_go_json(body);
    const auto rest = base::trim(body.substr(syntax.end));
    // Go's Decoder.More takes a closing bracket for the end of an outer value.
    if (!rest.empty() && rest.front() != ']' && rest.front() != '}') {
        base::fail(ErrorKind::invalid_argument, "unexpected content after JSON");
    }
    return out;
}

template <typename T>
T decode_text(std::string_view text) {
    try {
        T out{};
        decode(parse_first_value(text), out);
        return out;
    } catch (const Error& error) {
        throw Error(ErrorKind::internal, error.what());
    }
}

template <typename T>
Json encode(const T& value) {
    return write(value);
}

std::string to_text(const Json& json) {
    std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
    replace_all(text, "\xE2\x80\xA8", "\\u2028");
    replace_all(text, "\xE2\x80\xA9", "\\u2029");
    return text;
}

std::string to_html_safe_text(const Json& json) {
    std::string text = to_text(json);
    replace_all(text, "<", "\\u003c");
    replace_all(text, ">", "\\u003e");
    replace_all(text, "&", "\\u0026");
    return text;
}

#define DOCKERD_DOCUMENT(type)                         \
    template void decode<type>(const Json&, type&);    \
    template type decode_body<type>(std::string_view); \
    template type decode_text<type>(std::string_view); \
    template Json encode<type>(const type&)
DOCKERD_DOCUMENT(HealthConfig);
DOCKERD_DOCUMENT(ContainerConfig);
DOCKERD_DOCUMENT(HostConfig);
DOCKERD_DOCUMENT(Mount);
DOCKERD_DOCUMENT(Resources);
DOCKERD_DOCUMENT(RestartPolicy);
DOCKERD_DOCUMENT(LogConfig);
DOCKERD_DOCUMENT(EndpointSettings);
DOCKERD_DOCUMENT(EndpointIpamConfig);
DOCKERD_DOCUMENT(NetworkingConfig);
DOCKERD_DOCUMENT(Ipam);
DOCKERD_DOCUMENT(IpamConfig);
DOCKERD_DOCUMENT(NetworkCreate);
DOCKERD_DOCUMENT(NetworkConnect);
DOCKERD_DOCUMENT(NetworkDisconnect);
DOCKERD_DOCUMENT(ContainerCreate);
DOCKERD_DOCUMENT(ContainerUpdate);
DOCKERD_DOCUMENT(ExecCreate);
DOCKERD_DOCUMENT(ExecStart);
DOCKERD_DOCUMENT(VolumeCreate);
DOCKERD_DOCUMENT(AuthConfig);
DOCKERD_DOCUMENT(PortBinding);
#undef DOCKERD_DOCUMENT
#define DOCKERD_COLLECTION(type)                    \
    template void decode<type>(const Json&, type&); \
    template Json encode<type>(const type&)
DOCKERD_COLLECTION(Strings);
DOCKERD_COLLECTION(StrSlice);
DOCKERD_COLLECTION(StringMap);
DOCKERD_COLLECTION(StringSet);
DOCKERD_COLLECTION(PortMap);
DOCKERD_COLLECTION(Map<EndpointSettings>);
DOCKERD_COLLECTION(List<Mount>);
#undef DOCKERD_COLLECTION

}  // namespace dockerd::model
