#include <dockerd/model/reference.hpp>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::model {
namespace {

const std::string sha(64, 'a');

void expect_error(const std::string& text, const std::string& message) {
    try {
        (void)Reference::parse(text);
        ADD_FAILURE() << "accepted " << text;
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        EXPECT_EQ(error.what(), message) << text;
    }
}

TEST(Reference, FillsInWhatDockerFillsIn) {
    struct Case {
        std::string text;
        std::string full;
        std::string familiar;
    };
    const std::vector<Case> cases{
        {"busybox", "docker.io/library/busybox", "busybox"},
        {"busybox:1", "docker.io/library/busybox:1", "busybox:1"},
        {"a/b", "docker.io/a/b", "a/b"},
        {"docker.io/library/x", "docker.io/library/x", "x"},
        {"index.docker.io/x:t", "docker.io/library/x:t", "x:t"},
        {"library/x", "docker.io/library/x", "x"},
        {"library/a/b", "docker.io/library/a/b", "library/a/b"},
        {"localhost/x", "localhost/x", "localhost/x"},
        {"localhost:5000/x:1", "localhost:5000/x:1", "localhost:5000/x:1"},
        {"reg.example/a/b/c", "reg.example/a/b/c", "reg.example/a/b/c"},
        {"Reg/x", "Reg/x", "Reg/x"},
        {"[fe80::1]:5000/x", "[fe80::1]:5000/x", "[fe80::1]:5000/x"},
        {"x@sha256:" + sha, "docker.io/library/x@sha256:" + sha, "x@sha256:" + sha},
        {"x:t@sha256:" + sha, "docker.io/library/x:t@sha256:" + sha, "x:t@sha256:" + sha},
        {"a__b/c--d.e_f", "docker.io/a__b/c--d.e_f", "a__b/c--d.e_f"},
    };
    for (const Case& item : cases) {
        const Reference reference = Reference::parse(item.text);
        EXPECT_EQ(reference.full(), item.full);
        EXPECT_EQ(reference.familiar(), item.familiar);
        EXPECT_EQ(Reference::parse(reference.full()), reference);
        EXPECT_EQ(Reference::parse(reference.familiar()), reference);
    }
}

TEST(Reference, RefusesInDockersWords) {
    expect_error("BAD",
                 "invalid reference format: repository name (library/BAD) must be lowercase");
    expect_error("a/B:t", "invalid reference format: repository name (a/B) must be lowercase");
    expect_error(
        sha, "invalid repository name (" + sha + "), cannot specify 64-byte hexadecimal strings");
    for (const char* text : {"", ":x", "a:", "a:b:c", "a..b", "a/", "-a", "a@", "a@sha256:ab",
                             "a b", "http://x", "a:.t", "[fe80::1%eth0]:5000/x", "a___b"}) {
        expect_error(text, "invalid reference format");
    }
    expect_error("a@sha256:" + std::string(63, 'a'), "invalid checksum digest length");
    expect_error("a@md5:" + std::string(32, 'a'), "unsupported digest algorithm");
    expect_error("x/" + std::string(300, 'a'),
                 "repository name must not be more than 255 characters");
    expect_error("x:" + std::string(129, 'a'), "invalid reference format");
}

TEST(Reference, TakesIdsApartFromNames) {
    EXPECT_EQ(AnyReference::parse(sha).digest, "sha256:" + sha);
    EXPECT_EQ(AnyReference::parse("sha256:" + sha).digest, "sha256:" + sha);
    EXPECT_EQ(AnyReference::parse("sha256:abc").named->familiar(), "sha256:abc");
    EXPECT_EQ(AnyReference::parse("abc").named->familiar(), "abc");
}

TEST(Reference, DerivesTagsAndDigests) {
    const Reference name = Reference::parse("x");
    EXPECT_EQ(name.with_default_tag().familiar(), "x:latest");
    EXPECT_EQ(name.with_tag("v1").familiar(), "x:v1");
    EXPECT_EQ(name.with_tag("v1").with_digest("sha256:" + sha).familiar(), "x@sha256:" + sha);
    EXPECT_THROW((void)name.with_tag("a/b"), base::Error);
}

TEST(Digest, IsKeptUnderItsHexPart) {
    EXPECT_EQ(hex_of("sha256:0a1b"), "0a1b");
    EXPECT_EQ(hex_of("0a1b"), "0a1b");
    EXPECT_EQ(hex_of(""), "");
}

}  // namespace
}  // namespace dockerd::model
