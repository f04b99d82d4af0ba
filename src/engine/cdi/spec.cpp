#include "cdi/spec.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <set>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "cdi/yaml.hpp"

namespace dockerd::engine::cdi {
namespace {

[[noreturn]] void bad(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

/// What is done with each field of a map; a field that is not named is an error.
using Fields = std::vector<std::pair<std::string_view, std::function<void(const YamlNode&)>>>;

void read_fields(const YamlNode& node, const Fields& fields) {
    if (node.kind == YamlNode::Kind::null) return;
    if (node.kind != YamlNode::Kind::map) bad("failed to unmarshal CDI Spec: a map was expected");
    for (const auto& [key, value] : node.fields) {
        const auto known = std::ranges::find_if(
            fields, [&](const auto& field) { return base::iequals(field.first, key); });
        if (known == fields.end()) {
            bad("failed to unmarshal CDI Spec: error unmarshaling JSON: while decoding JSON: json: "
                "unknown field " +
                base::quote(key));
        }
        if (value.kind != YamlNode::Kind::null) known->second(value);
    }
}

std::string text(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::scalar) {
        bad("failed to unmarshal CDI Spec: a text was expected");
    }
    return node.text;
}

std::int64_t number(const YamlNode& node) {
    const auto parsed = base::parse_int(text(node));
    if (!parsed) bad("failed to unmarshal CDI Spec: " + base::quote(node.text) + " is no number");
    return *parsed;
}

std::uint32_t id(const YamlNode& node) {
    const auto value = number(node);
    if (value < 0 || value > std::numeric_limits<std::uint32_t>::max()) {
        bad("failed to unmarshal CDI Spec: " + node.text + " is no id");
    }
    return static_cast<std::uint32_t>(value);
}

/// A mode may be octal in YAML: 0660, 0o660.
std::uint32_t file_mode(const YamlNode& node) {
    const std::string digits = text(node);
    const bool octal = digits.size() > 1 && digits[0] == '0';
    if (!octal) return id(node);
    std::uint32_t mode = 0;
    for (const char c : digits.substr(digits[1] == 'o' ? 2 : 1)) {
        if (c < '0' || c > '7' || mode > 077777) {
            bad("failed to unmarshal CDI Spec: " + digits + " is no mode");
        }
        mode = mode * 8 + static_cast<std::uint32_t>(c - '0');
    }
    return mode;
}

template <typename T, typename Read>
std::vector<T> list(const YamlNode& node, Read read) {
    if (node.kind != YamlNode::Kind::list) bad("failed to unmarshal CDI Spec: a list was expected");
    std::vector<T> out;
    for (const auto& item : node.items) out.push_back(read(item));
    return out;
}

template <typename T>
auto into(T& target) {
    return [&target](const YamlNode& node) { target = text(node); };
}
void ignore(const YamlNode& /*node*/) {}

DeviceNode read_device_node(const YamlNode& node) {
    DeviceNode out;
    read_fields(node, {{"path", into(out.path)},
                       {"hostPath", into(out.host_path)},
                       {"type", into(out.type)},
                       {"major", [&](const auto& value) { out.major = number(value); }},
                       {"minor", [&](const auto& value) { out.minor = number(value); }},
                       {"fileMode", [&](const auto& value) { out.mode = file_mode(value); }},
                       {"permissions", into(out.permissions)},
                       {"uid", [&](const auto& value) { out.uid = id(value); }},
                       {"gid", [&](const auto& value) { out.gid = id(value); }}});
    return out;
}

Mount read_mount(const YamlNode& node) {
    Mount out;
    read_fields(node, {{"hostPath", into(out.host_path)},
                       {"containerPath", into(out.container_path)},
                       {"type", into(out.type)},
                       {"options", [&](const auto& value) {
                            out.options = list<std::string>(value, text);
                        }}});
    return out;
}

/// The hook's environment is checked, like Docker does, and not kept.
Hook read_hook(const YamlNode& node) {
    Hook out;
    read_fields(node, {{"hookName", into(out.name)},
                       {"path", into(out.path)},
                       {"args", ignore},
                       {"env", ignore},
                       {"timeout", ignore}});
    return out;
}

Edits read_edits(const YamlNode& node) {
    Edits out;
    read_fields(
        node,
        {{"env", [&](const auto& value) { out.env = list<std::string>(value, text); }},
         {"deviceNodes",
          [&](const auto& value) { out.device_nodes = list<DeviceNode>(value, read_device_node); }},
         {"hooks", [&](const auto& value) { out.hooks = list<Hook>(value, read_hook); }},
         {"mounts", [&](const auto& value) { out.mounts = list<Mount>(value, read_mount); }},
         {"intelRdt", [&](const auto& /*value*/) { out.intel_rdt = true; }},
         {"additionalGids",
          [&](const auto& value) { out.additional_gids = list<std::uint32_t>(value, id); }}});
    return out;
}

void check_edits(const Edits& edits) {
    for (const auto& variable : edits.env) {
        const auto equals = variable.find('=');
        if (equals == std::string::npos || equals == 0) {
            bad("invalid container edits: invalid environment variable " + base::quote(variable));
        }
    }
    for (const auto& node : edits.device_nodes) {
        if (node.path.empty()) bad("invalid (empty) device path");
        constexpr std::array<std::string_view, 5> types{"", "b", "c", "u", "p"};
        if (std::ranges::find(types, node.type) == types.end()) {
            bad(fmt::format("device {}: invalid type {}", base::quote(node.path),
                            base::quote(node.type)));
        }
        if (node.permissions.find_first_not_of("rwm") != std::string::npos) {
            bad(fmt::format("device {}: invalid permissions {}", base::quote(node.path),
                            base::quote(node.permissions)));
        }
    }
    for (const auto& hook : edits.hooks) {
        constexpr std::array<std::string_view, 6> names{"prestart",       "createRuntime",
                                                        "createContainer", "startContainer",
                                                        "poststart",      "poststop"};
        if (std::ranges::find(names, hook.name) == names.end()) {
            bad("invalid hook name " + base::quote(hook.name));
        }
        if (hook.path.empty()) {
            bad(fmt::format("invalid hook {} with empty path", base::quote(hook.name)));
        }
    }
    for (const auto& mount : edits.mounts) {
        if (mount.host_path.empty()) bad("invalid mount, empty host path");
        if (mount.container_path.empty()) bad("invalid mount, empty container path");
    }
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alphanumeric(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }

// Source: container-device-interface pkg/parser/parser.go.
void check_vendor_or_class(const char* what, const std::string& name) {
    const auto refuse = [&](const std::string& reason) {
        bad(fmt::format("invalid {}. {}", what, reason));
    };
    if (name.empty()) refuse("empty name");
    if (!is_letter(name.front())) refuse(base::quote(name) + ", should start with letter");
    for (const char c : name) {
        if (is_alphanumeric(c) || c == '_' || c == '-' || c == '.') continue;
        refuse(fmt::format("invalid character '{}' in name {}", c, base::quote(name)));
    }
    if (!is_alphanumeric(name.back())) {
        refuse(base::quote(name) + ", should end with a letter or digit");
    }
}

void check_device_name(const std::string& name) {
    if (name.empty()) bad("invalid (empty) device name");
    if (!is_alphanumeric(name.front())) {
        bad(fmt::format("invalid class {}, should start with a letter or digit",
                        base::quote(name)));
    }
    for (const char c : name) {
        if (is_alphanumeric(c) || c == '_' || c == '-' || c == '.' || c == ':') continue;
        bad(fmt::format("invalid character '{}' in device name {}", c, base::quote(name)));
    }
    if (!is_alphanumeric(name.back())) {
        bad(fmt::format("invalid name {}, should end with a letter or digit", base::quote(name)));
    }
}

/// All edits of a specification.
std::vector<const Edits*> all_edits(const Spec& spec) {
    std::vector<const Edits*> out{&spec.edits};
    for (const auto& device : spec.devices) out.push_back(&device.edits);
    return out;
}

/// Position in the list of versions, of what the specification uses.
// Source: container-device-interface specs-go/version.go.
std::size_t needed_version(const Spec& spec) {
    std::size_t needed = 2;
    const auto need = [&](std::size_t version) { needed = std::max(needed, version); };
    for (const Edits* edits : all_edits(spec)) {
        if (edits->intel_rdt || !edits->additional_gids.empty()) need(6);
        for (const auto& mount : edits->mounts) {
            if (!mount.type.empty()) need(3);
        }
        for (const auto& node : edits->device_nodes) {
            if (!node.host_path.empty() && node.host_path != node.path) need(4);
        }
    }
    for (const auto& device : spec.devices) {
        if (!device.name.empty() && !is_letter(device.name.front())) need(4);
    }
    const auto slash = spec.kind.find('/');
    const bool dotted =
        slash != std::string::npos && spec.kind.find('.', slash) != std::string::npos;
    if (spec.annotated || dotted) need(5);
    return needed;
}

void check_version(const Spec& spec) {
    constexpr std::array<std::string_view, 9> versions{
        "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0"};
    std::string_view plain = spec.version;
    if (plain.starts_with('v')) plain.remove_prefix(1);
    const auto* const found = std::ranges::find(versions, plain);
    if (found == versions.end()) bad("invalid version " + base::quote(spec.version));
    const std::size_t needed = needed_version(spec);
    if (needed > static_cast<std::size_t>(found - versions.begin())) {
        bad(fmt::format("the spec version must be at least v{}", versions[needed]));
    }
}

void check_spec(const Spec& spec) {
    check_version(spec);
    const auto slash = spec.kind.find('/');
    const bool split = slash != std::string::npos && slash > 0 && slash + 1 < spec.kind.size();
    check_vendor_or_class("vendor", split ? spec.kind.substr(0, slash) : "");
    check_vendor_or_class("class", spec.kind.substr(slash + 1));
    check_edits(spec.edits);
    std::set<std::string> names;
    for (const auto& device : spec.devices) {
        base::in_context("failed add device " + base::quote(device.name), [&] {
            check_device_name(device.name);
            if (device.edits.empty()) bad("invalid device, empty device edits");
            base::in_context("invalid device " + base::quote(device.name),
                             [&] { check_edits(device.edits); });
        });
        if (!names.insert(device.name).second) {
            bad("invalid spec, multiple device " + base::quote(device.name));
        }
    }
    if (names.empty()) bad("invalid spec, no devices");
}

}  // namespace

bool Edits::empty() const {
    return env.empty() && device_nodes.empty() && hooks.empty() && mounts.empty() &&
           additional_gids.empty() && !intel_rdt;
}

void Edits::append(const Edits& more) {
    const auto add = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
    };
    add(env, more.env);
    add(device_nodes, more.device_nodes);
    add(hooks, more.hooks);
    add(mounts, more.mounts);
    add(additional_gids, more.additional_gids);
    intel_rdt = intel_rdt || more.intel_rdt;
}

Spec parse_spec(std::string_view text_of_file, const std::string& path) {
    Spec spec;
    base::in_context("failed to parse CDI Spec " + base::quote(path), [&] {
        const auto document = parse_yaml(text_of_file);
        if (document.kind == YamlNode::Kind::null) bad("no Spec data");
        const auto read_device = [](const YamlNode& node) {
            Device device;
            read_fields(node, {{"name", into(device.name)},
                               {"annotations", ignore},
                               {"containerEdits", [&](const auto& value) {
                                    device.edits = read_edits(value);
                                }}});
            return device;
        };
        read_fields(document,
                    {{"cdiVersion", into(spec.version)},
                     {"kind", into(spec.kind)},
                     {"annotations",
                      [&](const auto& value) { spec.annotated = !value.fields.empty(); }},
                     {"devices",
                      [&](const auto& value) { spec.devices = list<Device>(value, read_device); }},
                     {"containerEdits",
                      [&](const auto& value) { spec.edits = read_edits(value); }}});
    });
    base::in_context("invalid CDI Spec", [&] { check_spec(spec); });
    return spec;
}

}  // namespace dockerd::engine::cdi
