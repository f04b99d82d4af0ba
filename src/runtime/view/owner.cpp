#include <dockerd/runtime/file_view.hpp>

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

#include "users/passwd.hpp"

namespace dockerd::runtime {

namespace {

std::optional<std::uint32_t> as_id(std::string_view text) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return {};
    if (value > static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::max())) return {};
    return value;
}

/// The first line whose field number `key` is `wanted`, split at its colons.
std::optional<std::vector<std::string>> find_line(const std::function<users::Source()>& open,
                                                  std::size_t key, std::string_view wanted) {
    const users::Source source = open();
    std::optional<std::vector<std::string>> found;
    if (!source) return found;
    users::each_line(source, [&](std::string_view line) {
        auto fields = base::split(base::trim(line), ':');
        if (fields.size() <= key || fields[key] != wanted) return true;
        fields.resize(std::max<std::size_t>(fields.size(), 4));
        found = std::move(fields);
        return false;
    });
    return found;
}

[[noreturn]] void not_found(std::string_view kind, std::string_view name, bool file_exists) {
    const std::string_view file = kind == "user" ? "passwd" : "group";
    const std::string why = file_exists
                                ? fmt::format("no matching entries in {} file", file)
                                : fmt::format("open /etc/{}: no such file or directory", file);
    base::fail(
        base::ErrorKind::invalid_argument,
        fmt::format("failed to look up {} {} in container: {}", kind, base::quote(name), why));
}

FileOwner owner_of(const users::Files& files, std::string_view user) {
    if (const auto id = as_id(user)) {
        const auto line = find_line(files.passwd, 2, std::to_string(*id));
        return {.uid = *id, .gid = line ? as_id((*line)[3]).value_or(0) : 0};
    }
    const auto line = find_line(files.passwd, 0, user);
    if (!line) not_found("user", user, static_cast<bool>(files.passwd()));
    return {.uid = as_id((*line)[2]).value_or(0), .gid = as_id((*line)[3]).value_or(0)};
}

}  // namespace

FileOwner look_up_owner(int root, std::string_view user) {
    const users::Files files = users::files_in_root(root);
    const auto colon = user.find(':');
    const std::string_view name = user.substr(0, colon);
    const std::string_view group =
        colon == std::string_view::npos ? std::string_view() : user.substr(colon + 1);
    FileOwner owner;
    if (!name.empty()) owner = owner_of(files, name);
    if (group.empty()) return owner;
    if (const auto id = as_id(group)) {
        owner.gid = *id;
    } else if (const auto line = find_line(files.group, 0, group)) {
        owner.gid = as_id((*line)[2]).value_or(0);
    } else {
        not_found("group", group, static_cast<bool>(files.group()));
    }
    return owner;
}

}  // namespace dockerd::runtime
