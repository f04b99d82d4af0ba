#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dockerd::git {

/// Which files of which repository.
struct Source {
    std::string remote;     ///< as git takes it, without a fragment
    std::string ref;        ///< a branch, a tag, a commit; may be empty when it was added
    std::string directory;  ///< below the root; empty: all of it
};

/// Whether a build's `remote` is a repository.
/// Source: moby builder/remotecontext/urlutil, IsGitURL.
bool is_context(std::string_view remote);

/// What such a `remote` names: "https://host/a.git#ref:directory", "git@host:a#ref". No ref is
/// "master". Throws: internal, "invalid refspec: <ref>"; `parse "<url>": ...` as Go says it.
/// Source: moby builder/remotecontext/git/gitutils.go, parseRemoteURL.
Source parse_context(const std::string& remote);

/// What a source of ADD names if that is a repository; there ssh:// and user@host:path are as well.
/// Throws: internal, "invalid refspec: <ref>".
/// Source: buildkit util/gitutil/git_ref.go, ParseGitRef.
std::optional<Source> parse_added(const std::string& source);

/// Reached by ssh: with keys, which not everybody is lent.
bool needs_ssh(std::string_view remote);

/// Without the user's name and password. Source: buildkit util/urlutil, RedactCredentials.
std::string redacted(const std::string& remote);

/// The 40 digits of a commit. Source: buildkit util/gitutil, IsCommitSHA.
bool is_commit(std::string_view text);

}  // namespace dockerd::git
