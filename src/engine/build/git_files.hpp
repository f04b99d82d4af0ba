#pragma once

#include <memory>
#include <optional>
#include <string>

#include <dockerd/git/repository.hpp>

#include "build/builds.hpp"
#include "build/context.hpp"

namespace dockerd::engine::builds {

/// A folder with a repository in it, and git in its jail.
class GitFolder {
public:
    /// Throws: as git::Jail.
    GitFolder(const BuildParts& parts, const git::Source& source, bool has_keys,
              const base::CancellationPtr& cancellation);

    [[nodiscard]] git::Repository& repository() { return *repository_; }
    /// Where its files are.
    [[nodiscard]] int fd() const { return files_.get(); }
    [[nodiscard]] const std::string& path() const { return path_; }
    /// Ends git: nobody changes the files from here on.
    void close();

private:
    WorkFolder folder_;
    std::string path_;
    base::Fd files_;
    std::optional<git::Jail> jail_;
    std::optional<git::Repository> repository_;
};

/// The context of a build whose `remote` is a repository.
/// Throws: as git::Repository::check_out_context; internal, "error setting git context, ...".
/// Source: moby builder/remotecontext/git.go, git/gitutils.go.
std::unique_ptr<Context> fetch_git_context(const BuildParts& parts, const std::string& remote,
                                           const base::CancellationPtr& cancellation);

/// A repository that ADD names; its files come when they are asked for.
class AddedRepository {
public:
    /// Throws: internal, `no SSH key "default" forwarded from the client`; as git::Jail.
    AddedRepository(const BuildParts& parts, git::Source source, git::Repository::Wish wish,
                    const base::CancellationPtr& cancellation);

    /// What the files are known by. Throws: as git::Repository::resolve.
    [[nodiscard]] std::string resolve();
    /// Fetches them; returns what they are known by.
    /// Throws: as git::Repository::check_out; internal, "failed to open subdir <path>: ...".
    std::string fetch();
    /// Pre: fetched.
    [[nodiscard]] SourceTree& files() { return *tree_; }
    /// Of what is wanted below files(); "" is all.
    [[nodiscard]] const std::string& directory() const { return directory_; }
    /// Whether the repository's own files are wanted.
    [[nodiscard]] bool keeps_git_dir() const;

private:
    void forget_address() const;

    git::Source source_;
    git::Repository::Wish wish_;
    GitFolder folder_;
    std::string directory_;
    std::optional<SourceTree> tree_;
};

}  // namespace dockerd::engine::builds
