#pragma once

#include <string>
#include <vector>

#include <dockerd/git/jail.hpp>
#include <dockerd/git/source.hpp>

namespace dockerd::git {

/// A repository that is fetched into a jail's folder.
/// Thread: one.
class Repository {
public:
    /// `shown`: the folder, as errors name it.
    Repository(Jail& jail, Source source, std::string shown)
        : jail_(jail), source_(std::move(source)), shown_(std::move(shown)) {}

    /// The files of a build's context, with the repository's own and those of submodules.
    /// Throws: internal, "error fetching: <output>: exit status 128" and kin.
    /// Source: moby builder/remotecontext/git/gitutils.go, gitRepo.clone.
    void check_out_context();

    /// How ADD wants it.
    struct Wish {
        std::string checksum;  ///< the commit's first digits, or all
        bool keep_git_dir = false;
    };
    /// What the files will be known by: the same text for the same ones. Asks the server unless
    /// source and checksum say it. Throws: internal, "repository does not contain ref ...",
    /// "invalid checksum ...", "expected checksum to match ...", "failed to fetch remote ...".
    /// Source: buildkit source/git/source.go, CacheKey.
    std::string resolve(const Wish& wish);
    /// Fetches them; returns what they are known by, for the server may have others by then.
    /// Throws: as resolve(). Source: source.go, Snapshot.
    std::string check_out(const Wish& wish);

private:
    void initialize();
    std::string default_branch();
    std::string run(const std::vector<std::string>& arguments, const std::string& context);
    void fetch(const std::string& ref);
    [[nodiscard]] std::string key_of(const std::string& commit, const std::string& used_ref,
                                     const Wish& wish) const;

    Jail& jail_;
    Source source_;
    std::string shown_;
    std::string used_ref_;  ///< what the server calls it
    bool initialized_ = false;
};

}  // namespace dockerd::git
