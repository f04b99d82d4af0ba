#include <dockerd/git/repository.hpp>

#include <algorithm>
#include <cctype>
#include <string_view>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::git {
namespace {

[[noreturn]] void fail(const std::string& text) { base::fail(base::ErrorKind::internal, text); }

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// A server of files alone cannot leave the history out.
bool wants_all_history(const CommandResult& result) {
    const std::string& text = result.errors.empty() ? result.output : result.errors;
    return !result.ok() && (has(text, "--depth") || has(text, "shallow"));
}

/// What a list of a server's refs says of one: branches before tags, a tag's commit before the tag.
struct Found {
    std::string commit;
    std::string ref;
};

Found find_ref(const std::string& listed, const std::string& ref) {
    const auto below = [&](const std::string& folder) {
        return folder + (ref.starts_with(folder) ? ref.substr(folder.size()) : ref);
    };
    const std::string whole = below("refs/");
    const std::string head = below("refs/heads/");
    const std::string tag = below("refs/tags/");
    Found by_whole;
    Found by_head;
    Found by_tag;
    for (const std::string& line : base::split(listed, '\n')) {
        const auto tab = line.find('\t');
        if (tab == std::string::npos) continue;
        const std::string commit = line.substr(0, tab);
        const std::string name = line.substr(tab + 1);
        if (name == head) {
            by_head = {commit, head};
        } else if (name == tag || name == tag + "^{}") {
            by_tag = {commit, tag};
        } else if (name == whole) {
            by_whole = {commit, whole};
        }
    }
    for (const Found& found : {by_whole, by_head, by_tag}) {
        if (!found.commit.empty()) return found;
    }
    return {};
}

}  // namespace

void Repository::check_out_context() {
    const auto check = [](const CommandResult& result, const std::string& what) {
        if (!result.ok()) fail(what + ": " + result.output + ": " + result.failure);
    };
    const auto checked = [&](const std::vector<std::string>& arguments, const std::string& what) {
        check(base::in_context(what + ": ", [&] { return jail_.run(arguments, true); }), what);
    };
    checked({"init"}, "failed to init repo at " + shown_);
    checked({"remote", "add", "--", "origin", source_.remote},
            "failed add origin repo at " + source_.remote);
    std::vector<std::string> fetch{"fetch", "--depth", "1", "origin", "--", source_.ref};
    auto fetched = jail_.run(fetch, true);
    if (wants_all_history(fetched)) {
        fetch.erase(fetch.begin() + 1, fetch.begin() + 3);
        fetched = jail_.run(fetch, true);
    }
    check(fetched, "error fetching");
    const auto by_name = jail_.run({"checkout", source_.ref}, true);
    if (!by_name.ok() && !jail_.run({"checkout", "FETCH_HEAD"}, true).ok()) {
        fail(fmt::format("error checking out {}: {}: {}", source_.ref, by_name.output,
                         by_name.failure));
    }
    checked({"submodule", "update", "--init", "--recursive", "--depth=1"},
            "error initializing submodules");
}

/// What a command prints.
std::string Repository::run(const std::vector<std::string>& arguments, const std::string& context) {
    const auto result = base::in_context(context, [&] { return jail_.run(arguments); });
    if (result.ok()) return result.output;
    fail(fmt::format("{}: git stderr:\n{}: {}", context, result.errors, result.failure));
}

void Repository::initialize() {
    if (initialized_) return;
    (void)run({"init"}, "failed to init repo at " + shown_);
    (void)run({"remote", "add", "--", "origin", source_.remote},
              "failed add origin repo at " + shown_);
    initialized_ = true;
}

std::string Repository::default_branch() {
    const std::string remote = redacted(source_.remote);
    const std::string text = run({"ls-remote", "--symref", "--", source_.remote, "HEAD"},
                                 "error fetching default branch for repository " + remote);
    constexpr std::string_view folder = "refs/heads/";
    const auto at = text.find(folder);
    if (at == std::string::npos) fail("could not find default branch for repository: " + remote);
    const std::string rest = text.substr(at + folder.size());
    return rest.substr(0, rest.find_first_of(" \t\n"));
}

std::string Repository::key_of(const std::string& commit, const std::string& used_ref,
                               const Wish& wish) const {
    std::string out = commit;
    if (wish.keep_git_dir) out += used_ref.empty() ? ".git" : ".git#" + used_ref;
    if (!source_.directory.empty()) out += ":" + source_.directory;
    return out;
}

std::string Repository::resolve(const Wish& wish) {
    const bool is_hex = std::ranges::all_of(
        wish.checksum, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
    if (!is_hex) {
        fail(fmt::format("invalid checksum {} for Git URL, expected hex commit hash",
                         wish.checksum));
    }
    if (is_commit(wish.checksum) && !wish.keep_git_dir) return key_of(wish.checksum, "", wish);
    if (is_commit(source_.ref)) return key_of(source_.ref, "", wish);
    initialize();
    if (source_.ref.empty()) source_.ref = default_branch();
    const std::string listed = run({"ls-remote", "--", "origin", source_.ref, source_.ref + "^{}"},
                                   "failed to fetch remote " + redacted(source_.remote));
    const Found found = find_ref(listed, source_.ref);
    if (found.commit.empty()) {
        fail(fmt::format("repository does not contain ref {}, output: {}", source_.ref,
                         base::quote(listed)));
    }
    if (!is_commit(found.commit)) fail("invalid commit sha " + base::quote(found.commit));
    if (!found.commit.starts_with(wish.checksum)) {
        fail(fmt::format("expected checksum to match {}, got {}", wish.checksum, found.commit));
    }
    used_ref_ = found.ref;
    return key_of(found.commit, used_ref_, wish);
}

void Repository::fetch(const std::string& ref) {
    const std::string context = "failed to fetch remote " + redacted(source_.remote);
    const std::vector<std::string> rest =
        is_commit(ref) ? std::vector<std::string>{"--", "origin", ref}
                       : std::vector<std::string>{"--no-tags", "--force", "--", "origin",
                                                  ref + ":refs/tags/" + ref};
    std::vector<std::string> arguments{"fetch", "--depth=1"};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    auto result = jail_.run(arguments);
    if (wants_all_history(result)) {
        arguments.erase(arguments.begin() + 1);
        result = jail_.run(arguments);
    }
    if (result.ok()) return;
    // Servers need not give single commits out.
    if (is_commit(ref) &&
        (has(result.errors, "not our ref") || has(result.errors, "unadvertised object"))) {
        (void)run({"fetch", "--tags", "--", "origin"}, context);
        return;
    }
    fail(fmt::format("{}: git stderr:\n{}: {}", context, result.errors, result.failure));
}

std::string Repository::check_out(const Wish& wish) {
    const std::string remote = redacted(source_.remote);
    initialize();
    if (source_.ref.empty()) source_.ref = default_branch();
    fetch(source_.ref);
    const std::string target = is_commit(source_.ref) ? source_.ref : "refs/tags/" + source_.ref;
    const auto name_of = [&](const std::string& object) {
        return std::string(
            base::trim(run({"rev-parse", "--verify", "--end-of-options", object},
                           fmt::format("failed to rev-parse {} for {}", source_.ref, remote))));
    };
    const std::string object = name_of(target);
    const std::string commit = name_of(target + "^{commit}");
    if (!commit.starts_with(wish.checksum) && !object.starts_with(wish.checksum)) {
        fail(fmt::format("expected checksum to match {}, got {}", wish.checksum, object));
    }
    (void)run({"checkout", "--quiet", "--detach", commit}, "failed to checkout remote " + remote);
    (void)run({"submodule", "update", "--init", "--recursive", "--depth=1"},
              "failed to update submodules for " + remote);
    if (wish.keep_git_dir) {
        // The address may have a password in it.
        (void)run({"remote", "set-url", "--", "origin", remote},
                  "failed to set remote origin to " + remote);
        (void)run({"reflog", "expire", "--all", "--expire=now"},
                  "failed to expire reflog for remote " + remote);
    }
    return key_of(commit, used_ref_, wish);
}

}  // namespace dockerd::git
