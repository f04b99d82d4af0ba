#include <dockerd/build/run_mount.hpp>

#include <algorithm>
#include <charconv>
#include <vector>

#include <dockerd/base/strings.hpp>

#include "flags.hpp"
#include "statement.hpp"

namespace dockerd::build {
namespace {

/// Fields between commas; one in double quotes may have commas in it.
std::vector<std::string> csv_fields(std::string_view text) {
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '"' && quoted && at + 1 < text.size() && text[at + 1] == '"') {
            fields.back() += text[++at];
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == ',' && !quoted) {
            fields.emplace_back();
        } else {
            fields.back() += c;
        }
    }
    if (quoted) invalid("failed to parse csv mounts: non-terminated quoted field");
    return fields;
}

std::uint32_t read_number(const std::string& text, int base, const std::string& what) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
        invalid("invalid value " + text + " for " + what);
    }
    return value;
}

bool read_boolean(const std::string& key, const std::string& text) {
    static const std::vector<std::string> yes{"1", "t", "T", "TRUE", "true", "True"};
    static const std::vector<std::string> no{"0", "f", "F", "FALSE", "false", "False"};
    if (std::find(yes.begin(), yes.end(), text) != yes.end()) return true;
    if (std::find(no.begin(), no.end(), text) != no.end()) return false;
    invalid("invalid value for " + key + ": " + text);
}

/// "64m", "1g". Source: docker/go-units, RAMInBytes.
std::int64_t read_size(const std::string& key, const std::string& text) {
    std::string number = base::to_lower(text);
    if (number.ends_with("b")) number.pop_back();
    int shift = 0;
    constexpr std::string_view units = "kmgt";
    if (!number.empty()) {
        const auto unit = units.find(number.back());
        if (unit != std::string_view::npos) {
            shift = 10 * (static_cast<int>(unit) + 1);
            number.pop_back();
        }
    }
    const auto value = base::parse_int(number);
    if (!value || *value < 0 || *value > (std::int64_t{1} << (62 - shift))) {
        invalid("invalid value for " + key + ": " + text);
    }
    return *value << shift;
}

struct Reader {
    RunMount mount;
    std::optional<bool> read_only;

    void set(const std::string& key, const std::string& value, const std::string& field) {
        static const std::vector<std::string> types{"bind", "cache", "tmpfs", "secret", "ssh"};
        static const std::vector<std::string> sharings{"shared", "private", "locked"};
        if (key == "type") {
            mount.type = base::to_lower(value);
            if (std::find(types.begin(), types.end(), mount.type) == types.end()) {
                invalid("unsupported mount type " + base::quote(value) +
                        suggestion(value, types, /*case_sensitive=*/true));
            }
        } else if (key == "from") {
            mount.from = value;
        } else if (key == "source" || key == "src") {
            mount.source = value;
        } else if (key == "target" || key == "dst" || key == "destination") {
            mount.target = value;
        } else if (key == "readonly" || key == "ro") {
            read_only = read_boolean(key, value);
        } else if (key == "readwrite" || key == "rw") {
            read_only = !read_boolean(key, value);
        } else if (key == "required") {
            only_for(key, mount.type == "secret" || mount.type == "ssh");
            mount.required = read_boolean(key, value);
        } else if (key == "size") {
            only_for(key, mount.type == "tmpfs");
            mount.size = read_size(key, value);
        } else if (key == "id") {
            mount.id = value;
        } else if (key == "sharing") {
            mount.sharing = base::to_lower(value);
            if (std::find(sharings.begin(), sharings.end(), mount.sharing) == sharings.end()) {
                invalid("unsupported sharing value " + base::quote(value) +
                        suggestion(value, sharings, /*case_sensitive=*/true));
            }
        } else {
            set_owner(key, value, field);
        }
    }

    void set_owner(const std::string& key, const std::string& value, const std::string& field) {
        static const std::vector<std::string> keys{
            "type", "from", "source", "target", "readonly", "id", "sharing", "required", "size",
            "mode", "uid", "gid", "src", "dst", "destination", "ro", "rw", "readwrite", "env"};
        if (key == "mode") {
            mount.mode = read_number(value, 8, key);
        } else if (key == "uid") {
            mount.uid = read_number(value, 10, key);
        } else if (key == "gid") {
            mount.gid = read_number(value, 10, key);
        } else if (key != "env") {
            invalid("unexpected key '" + key + "' in '" + field + "'" +
                    suggestion(key, keys, /*case_sensitive=*/true));
        }
    }

    void only_for(const std::string& key, bool fits) const {
        if (!fits) invalid("unexpected key '" + key + "' for mount type '" + mount.type + "'");
    }

    RunMount finish() {
        const bool has_owner = mount.type != "bind" && mount.type != "tmpfs";
        const auto not_allowed = [&](const char* what) {
            invalid(std::string(what) + " not allowed for " + base::quote(mount.type) +
                    " type mounts");
        };
        if (!has_owner && mount.mode) not_allowed("mode");
        if (!has_owner && mount.uid) not_allowed("uid");
        if (!has_owner && mount.gid) not_allowed("gid");
        mount.read_only = read_only.value_or(mount.type != "cache" && mount.type != "tmpfs");
        if (mount.type == "secret") {
            if (!mount.from.empty()) invalid("secret mount should not have a from");
            if (!mount.sharing.empty()) invalid("secret mount should not define sharing");
            if (mount.source.empty() && mount.target.empty() && mount.id.empty()) {
                invalid("invalid secret mount. one of source, target required");
            }
            if (!mount.source.empty() && !mount.id.empty()) {
                invalid("both source and id can't be set");
            }
        }
        if (!mount.sharing.empty() && mount.type != "cache") {
            invalid("invalid cache sharing set for " + mount.type + " mount");
        }
        return mount;
    }
};

}  // namespace

RunMount read_run_mount(std::string_view text,
                        const std::function<std::string(std::string_view word)>& expander) {
    Reader reader;
    for (const std::string& field : csv_fields(text)) {
        const auto equals = field.find('=');
        const std::string key = base::to_lower(field.substr(0, equals));
        const auto variable = field.find('$', equals == std::string::npos ? 0 : equals);
        if (key == "from" && variable != std::string::npos && variable + 1 < field.size()) {
            // Stages are put in order before anything has a value.
            invalid("'from' doesn't support variable expansion, define alias stage instead");
        }
        if (equals != std::string::npos) {
            reader.set(key, expander(std::string_view(field).substr(equals + 1)), field);
        } else if (key == "readonly" || key == "ro" || key == "readwrite" || key == "rw" ||
                   key == "required") {
            reader.set(key, "true", field);
        } else {
            invalid("invalid field '" + field + "' must be a key=value pair");
        }
    }
    return reader.finish();
}

}  // namespace dockerd::build
