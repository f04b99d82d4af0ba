#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include <dockerd/base/error.hpp>
#include <dockerd/git/source.hpp>

namespace dockerd::git {
namespace {

std::string shown(const Source& source) {
    return source.remote + " " + source.ref + " " + source.directory;
}

std::string context(const std::string& remote) {
    try {
        return shown(parse_context(remote));
    } catch (const base::Error& error) {
        return error.what();
    }
}

std::string added(const std::string& source) {
    try {
        const auto found = parse_added(source);
        return found ? shown(*found) : "none";
    } catch (const base::Error& error) {
        return error.what();
    }
}

// Each was asked of Docker 28.2.2 as `remote`: a repository is fetched, a URL downloaded, and the
// rest "could not be recognized as URL".
TEST(GitSource, WhichContextsAreRepositories) {
    for (const char* remote : {"https://h/r.git", "http://h/r.git", "https://h/r.git#branch",
                               "https://h/r.git#:dir", "https://h/a.git/b#x.git", "git://h/r",
                               "git://", "github.com/user/repo", "git@h:r", "git@h:r.git#b:d"}) {
        EXPECT_TRUE(is_context(remote)) << remote;
    }
    for (const char* remote :
         {"https://h/r", "https://h/r.git#", "https://h/r.git?x=1", "https://h/r.gitx#a",
          "ssh://git@h/r.git", "GIT://h/r", "github.com", "user@h:r.git", "file:///r.git", "/r.git",
          "-git@h:r", "ext::sh -c x"}) {
        EXPECT_FALSE(is_context(remote)) << remote;
    }
}

TEST(GitSource, PartsOfAContext) {
    EXPECT_EQ(context("git://h/u/r.git"), "git://h/u/r.git master ");
    EXPECT_EQ(context("github.com/u/r"), "https://github.com/u/r master ");
    EXPECT_EQ(context("github.com/u/r#b:d/e/"), "https://github.com/u/r b d/e/");
    EXPECT_EQ(context("https://h/r.git#pull/42/head"), "https://h/r.git pull/42/head ");
    EXPECT_EQ(context("https://h/r.git#:d"), "https://h/r.git master d");
    EXPECT_EQ(context("https://h/r.git#a:b:c"), "https://h/r.git a b:c");
    EXPECT_EQ(context("https://h/r.git#a#b"), "https://h/r.git a#b ");
    EXPECT_EQ(context("HTTPS://h/r.git#a"), "https://h/r.git a ");
    EXPECT_EQ(context("git@h:u/r.git#b:d"), "git@h:u/r.git b d");
    EXPECT_EQ(context("https://me%40x:pw@h:1/r.git"), "https://me%40x:pw@h:1/r.git master ");
    EXPECT_EQ(context("https://h/a b/r.git"), "https://h/a%20b/r.git master ");
    // A fragment's percent signs are read; those of ssh's short form are no URL's.
    EXPECT_EQ(context("https://h/r.git#a%20b:c%2fd"), "https://h/r.git a b c/d");
    EXPECT_EQ(context("git@h:r#a%20b"), "git@h:r a%20b ");
}

// CVE-2019-13139: what stands behind the "#" is never an option of git.
TEST(GitSource, RefsAreNoOptions) {
    EXPECT_EQ(context("git://h/r#--upload-pack=x"), "invalid refspec: --upload-pack=x");
    EXPECT_EQ(context("git@h:r#-B"), "invalid refspec: -B");
    EXPECT_EQ(context("https://h/r.git#%2d-output=x"), "invalid refspec: --output=x");
    EXPECT_EQ(added("git://h/r#--upload-pack=x"), "invalid refspec: --upload-pack=x");
    EXPECT_EQ(added("me@h:r#-B:d"), "invalid refspec: -B");
}

// The words are Go's. What is no URL is tried as one without a scheme, which is how Docker puts it.
TEST(GitSource, UrlsThatAreNone) {
    EXPECT_EQ(context("git://h:port/r"), "https://git://h:port/r master ");
    EXPECT_EQ(context("github.com/%zz"),
              R"(parse "https://github.com/%zz": invalid URL escape "%zz")");
    EXPECT_EQ(context("https://h/r.git#%4"),
              R"(parse "https://https://h/r.git#%4": invalid URL escape "%4")");
    EXPECT_EQ(context("git:// /r"), "https://git://%20/r master ");
    EXPECT_EQ(context("git://h/\x01"),
              R"(parse "https://git://h/\x01": net/url: invalid control character in URL)");
    EXPECT_EQ(added("https://h h/r.git"), "none");
}

// Source: the rules of BuildKit's documentation of ADD.
TEST(GitSource, WhatAddTakesForARepository) {
    EXPECT_EQ(added("https://h/r.git"), "https://h/r.git  ");
    EXPECT_EQ(added("https://h/r.git?x#b:d"), "https://h/r.git?x b d");
    EXPECT_EQ(added("git://h/r"), "git://h/r  ");
    EXPECT_EQ(added("ssh://me@h:22/r#b"), "ssh://me@h:22/r b ");
    EXPECT_EQ(added("me@h.org:u/r#b:d"), "me@h.org:u/r b d");
    EXPECT_EQ(added("GIT://h/r"), "git://h/r  ");
    for (const char* source :
         {"https://h/r", "https://h/r.git/x", "http://h/x#r.git", "github.com/u/r", "./git@h:r",
          "../a@b:c", "a@b", "a b@c:d", "@h:r", "a@:r", "ftp://h/r.git", "dir/a.git", "git@h",
          "https://h:x/r.git"}) {
        EXPECT_EQ(added(source), "none") << source;
    }
}

TEST(GitSource, WhatIsReachedByKeys) {
    EXPECT_TRUE(needs_ssh("git@h:r"));
    EXPECT_TRUE(needs_ssh("ssh://h/r"));
    EXPECT_FALSE(needs_ssh("https://h/r.git"));
    EXPECT_FALSE(needs_ssh("git://h/r"));
}

TEST(GitSource, PasswordsAreNotShown) {
    EXPECT_EQ(redacted("https://me:pw@h/r.git"), "https://xxxxx:xxxxx@h/r.git");
    EXPECT_EQ(redacted("https://me@h/r@x.git"), "https://xxxxx@h/r@x.git");
    EXPECT_EQ(redacted("https://h/a@b.git"), "https://h/a@b.git");
    EXPECT_EQ(redacted("git@h:r"), "git@h:r");
}

TEST(GitSource, CommitsAreFortyDigits) {
    EXPECT_TRUE(is_commit("0123456789abcdef0123456789abcdef01234567"));
    EXPECT_FALSE(is_commit("0123456789ABCDEF0123456789abcdef01234567"));
    EXPECT_FALSE(is_commit("0123456789abcdef0123456789abcdef0123456"));
    EXPECT_FALSE(is_commit(""));
}

}  // namespace
}  // namespace dockerd::git
