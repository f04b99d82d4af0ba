#include "users/passwd.hpp"

#include <dockerd/base/fd.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <memory>
#include <optional>

namespace dockerd::runtime::users {

namespace {

constexpr std::size_t longest_line = 16 * 1024;
constexpr const char* range_text = "uids and gids must be in range 0-2147483647";

/// As Go's strconv.Atoi: optional sign, decimal, 64 bits.
std::optional<std::int64_t> number(std::string_view text) {
    if (text.starts_with('+')) text.remove_prefix(1);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
    return value;
}

/// A number in a file: rubbish counts as 0, as Docker has it, but what is too large stays so.
std::int64_t field_number(std::string_view text) {
    if (text.starts_with('+')) text.remove_prefix(1);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::result_out_of_range) return INT64_MAX;
    return error == std::errc{} && end == text.data() + text.size() ? value : 0;
}

bool in_range(std::int64_t value) { return value >= 0 && value <= INT_MAX; }

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view space = " \t\r\n\v\f";
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

template <std::size_t N>
std::array<std::string_view, N> fields(std::string_view line) {
    std::array<std::string_view, N> out{};
    for (auto& field : out) {
        const auto colon = line.find(':');
        field = line.substr(0, colon);
        if (colon == std::string_view::npos) break;
        line.remove_prefix(colon + 1);
    }
    return out;
}

struct PasswdLine {
    std::string_view name, home;
    std::int64_t uid = 0, gid = 0;
};

PasswdLine parse_passwd(std::string_view line) {
    const auto part = fields<7>(line);
    return {part[0], part[5], field_number(part[2]), field_number(part[3])};
}

bool has_member(std::string_view list, std::string_view name) {
    while (!list.empty()) {
        const auto comma = list.find(',');
        if (list.substr(0, comma) == name) return true;
        if (comma == std::string_view::npos) break;
        list.remove_prefix(comma + 1);
    }
    return false;
}

class LookUp {
public:
    LookUp(const Files& files, std::string_view user, Identity& identity)
        : files_(files), identity_(identity) {
        const auto part = fields<2>(user);
        user_ = part[0];
        group_ = part[1];
        uid_ = number(user_);
        gid_ = number(group_);
    }

    std::string run(const std::vector<std::string>& additional) {
        std::string error = find_user();
        if (error.empty() && (!group_.empty() || !name_.empty())) error = find_groups();
        if (!error.empty()) return error;
        identity_.groups.insert(identity_.groups.begin(), identity_.gid);
        find_home();
        return additional.empty() ? std::string{} : add_groups(additional);
    }

private:
    bool wanted(const PasswdLine& entry) const {
        if (user_.empty()) return entry.uid == 0;
        return uid_ ? entry.uid == *uid_ : entry.name == user_;
    }

    std::string find_user() {
        bool found = false;
        bool valid = true;
        each_line(files_.passwd(), [&](std::string_view line) {
            const PasswdLine entry = parse_passwd(line);
            if (!wanted(entry)) return true;
            found = true;
            valid = in_range(entry.uid) && in_range(entry.gid);
            name_ = entry.name;
            identity_.uid = static_cast<std::uint32_t>(entry.uid);
            identity_.gid = static_cast<std::uint32_t>(entry.gid);
            identity_.home = entry.home;
            return false;
        });
        if (!valid) return range_text;
        if (found || user_.empty()) return {};
        if (!uid_) return "unable to find user " + user_ + ": no matching entries in passwd file";
        if (!in_range(*uid_)) return range_text;
        identity_.uid = static_cast<std::uint32_t>(*uid_);
        return {};
    }

    /// That of the number's first entry, whatever the name was.
    void find_home() {
        Source source = files_.homes ? files_.homes() : Source{};
        if (!source) {
            if (uid_ || user_.empty()) return;  // it was the first that counted
            source = files_.passwd();
        }
        identity_.home.clear();
        each_line(source, [&](std::string_view line) {
            const PasswdLine entry = parse_passwd(line);
            if (entry.uid != identity_.uid) return true;
            identity_.home = entry.home;
            return false;
        });
    }

    std::string find_groups() {
        std::optional<std::int64_t> match;
        bool valid = true;
        each_line(files_.group(), [&](std::string_view line) {
            const auto part = fields<4>(line);
            const std::int64_t gid = field_number(part[2]);
            if (group_.empty()) {
                if (!has_member(part[3], name_)) return true;
                valid = valid && in_range(gid);
                if (identity_.groups.size() < 65536) {
                    identity_.groups.push_back(static_cast<std::uint32_t>(gid));
                }
                return valid;
            }
            if (gid_ ? gid != *gid_ : part[0] != group_) return true;
            match = gid;
            return false;
        });
        if (!valid) return range_text;
        if (group_.empty()) return {};
        if (!match && !gid_) {
            return "unable to find group " + group_ + ": no matching entries in group file";
        }
        if (!match) match = gid_;
        if (!in_range(*match)) return range_text;
        identity_.gid = static_cast<std::uint32_t>(*match);
        return {};
    }

    std::string add_groups(const std::vector<std::string>& additional) {
        for (const std::string& wanted : additional) {
            std::optional<std::int64_t> gid;
            each_line(files_.group(), [&](std::string_view line) {
                const auto part = fields<3>(line);
                const std::int64_t found = field_number(part[2]);
                if (part[0] != wanted && std::to_string(found) != wanted) return true;
                gid = found;
                return false;
            });
            if (!gid) gid = number(wanted);
            if (!gid) {
                return "Unable to find group " + wanted + ": no matching entries in group file";
            }
            if (!in_range(*gid)) return range_text;
            const auto id = static_cast<std::uint32_t>(*gid);
            auto& groups = identity_.groups;
            if (std::find(groups.begin(), groups.end(), id) == groups.end()) groups.push_back(id);
        }
        return {};
    }

    const Files& files_;
    Identity& identity_;
    std::string user_, group_;
    std::string name_;  ///< of the passwd entry that matched
    std::optional<std::int64_t> uid_, gid_;
};

Source open_regular(int root, const char* path, std::uint64_t within = 0) {
    open_how how{};
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | within;
    const auto open_as = [&](std::uint64_t flags) {
        how.flags = flags | O_CLOEXEC;
        return base::Fd(static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how)));
    };
    // Looked at before it is opened: opening a device of the image may have effects.
    struct stat info {};
    const base::Fd place = open_as(O_PATH);
    if (!place) return {};
    errno = 0;  // who gets nothing asks why
    if (::fstat(place.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    auto file = std::make_shared<base::Fd>(open_as(O_RDONLY | O_NONBLOCK | O_NOCTTY));
    if (!*file || ::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
    return [file](char* buffer, std::size_t size) -> std::size_t {
        ssize_t n = ::read(file->get(), buffer, size);
        return n > 0 ? static_cast<std::size_t>(n) : 0;
    };
}

/// As if nothing were mounted on the root; `crossed` is set when something is mounted in the way.
Source open_below_mounts(int root, const char* path, bool& crossed, bool* blind) {
    Source found = open_regular(root, path, RESOLVE_NO_XDEV);
    if (found || errno != EXDEV) return found;
    crossed = true;
    // A copy of the root's own mount has none on it.
    const base::Fd bare{
        ::open_tree(root, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)};
    if (!bare && blind != nullptr) *blind = true;
    return open_regular(bare ? bare.get() : root, path);
}

}  // namespace

void each_line(const Source& source, const std::function<bool(std::string_view)>& line) {
    if (!source) return;
    constexpr std::size_t most_bytes = 64UL * 1024 * 1024;
    const std::unique_ptr<char[]> buffer(new char[longest_line]);
    std::size_t held = 0;
    std::size_t total = 0;
    bool skipping = false;
    const auto emit = [&](std::string_view text) {
        text = trimmed(text);
        return text.empty() || line(text);
    };
    for (;;) {
        const std::size_t n = source(buffer.get() + held, longest_line - held);
        total += n;
        if (n == 0 || total > most_bytes) break;
        held += n;
        std::size_t from = 0;
        while (true) {
            const std::string_view rest(buffer.get() + from, held - from);
            const auto end = rest.find('\n');
            if (end == std::string_view::npos) break;
            if (!skipping && !emit(rest.substr(0, end))) return;
            skipping = false;
            from += end + 1;
        }
        std::copy(buffer.get() + from, buffer.get() + held, buffer.get());
        held -= from;
        if (held == longest_line) {
            skipping = true;
            held = 0;
        }
    }
    if (held > 0 && !skipping) (void)emit({buffer.get(), held});
}

std::string look_up(const Files& files, std::string_view user,
                    const std::vector<std::string>& additional, Identity& identity) {
    return LookUp(files, user, identity).run(additional);
}

Files files_in_root(int root, bool* blind) {
    const auto crossed = std::make_shared<bool>(false);
    const auto homes = [root, crossed]() -> Source {
        if (!*crossed) return {};
        if (Source mounted = open_regular(root, "etc/passwd")) return mounted;
        return [](char*, std::size_t) -> std::size_t { return 0; };
    };
    return {[=] { return open_below_mounts(root, "etc/passwd", *crossed, blind); },
            [=] {
                bool any = false;
                return open_below_mounts(root, "etc/group", any, blind);
            },
            homes};
}

}  // namespace dockerd::runtime::users
