// What the distribution library (v0.6.0) makes of names: each case its own tests tell apart, and
// what lies between them.
#include <dockerd/model/reference.hpp>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::model {
namespace {

std::string many(int count, const std::string& text) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
}

const std::string sha = many(32, "ab");
const std::string sha384 = many(48, "ef");
const std::string sha512 = many(64, "cd");

struct Taken {
    std::string text;
    std::string full;
    std::string familiar;  ///< empty: as the text
};

void expect_taken(const std::vector<Taken>& rows) {
    for (const Taken& row : rows) {
        SCOPED_TRACE(row.text);
        const std::string familiar = row.familiar.empty() ? row.text : row.familiar;
        const AnyReference found = AnyReference::parse(row.text);
        if (!found.named) {
            EXPECT_EQ(found.digest, row.full);
            EXPECT_EQ(found.digest, familiar);
            continue;
        }
        EXPECT_EQ(found.named->full(), row.full);
        EXPECT_EQ(found.named->familiar(), familiar);
        const std::string& domain = found.named->domain();
        EXPECT_EQ(found.named->name(),
                  domain.empty() ? found.named->path() : domain + "/" + found.named->path());
        EXPECT_EQ(Reference::parse(row.full), *found.named);
    }
}

void expect_refused(const std::string& message, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
        SCOPED_TRACE(text);
        try {
            (void)AnyReference::parse(text);
            ADD_FAILURE() << "accepted";
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
            EXPECT_EQ(error.what(), message);
        }
    }
}

TEST(ReferenceTable, TakesDomains) {
    expect_taken({
        {"one.example", "docker.io/library/one.example", ""},
        {"one.example:10304/x", "one.example:10304/x", ""},
        {"localhost/x", "localhost/x", ""},
        {"localhost:8080/x", "localhost:8080/x", ""},
        {"m/x", "docker.io/m/x", ""},
        {"m.n/x", "m.n/x", ""},
        {"k.l.example/x", "k.l.example/x", ""},
        {"k-l.example/x", "k-l.example/x", ""},
        {"k.l-m/x", "k.l-m/x", ""},
        {"0101.example/x", "0101.example/x", ""},
        {"001a.example/x", "001a.example/x", ""},
        {"s.t.example:443/x", "s.t.example:443/x", ""},
        {"xn--n3h.example/x", "xn--n3h.example/x", ""},
        {"xn--n3h.example:18080/x:xn--n3h.example", "xn--n3h.example:18080/x:xn--n3h.example", ""},
        {"Upper.example/x", "Upper.example/x", ""},
        {"192.0.2.1:75050/x", "192.0.2.1:75050/x", ""},
        {"192.0.2.1:750050/x", "192.0.2.1:750050/x", ""},
        {"192.0.2.1/x", "192.0.2.1/x", ""},
        {"[2001:db8::3]:75050/x", "[2001:db8::3]:75050/x", ""},
        {"[20010db8123]:75050/x", "[20010db8123]:75050/x", ""},
        {"[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:75050/x",
         "[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:75050/x", ""},
        {"[2001:db8::1]/x", "[2001:db8::1]/x", ""},
        {"[2001:db8:1:2:3:4:5:6]/x:t", "[2001:db8:1:2:3:4:5:6]/x:t", ""},
        {"[::1]:5000/x", "[::1]:5000/x", ""},
        {"[2001:db8::]:5000/x", "[2001:db8::]:5000/x", ""},
        {"a_b.example/x", "a_b.example/x", ""},
        {"a__b.example/x:t", "a__b.example/x:t", ""},
        {"a_b/x", "docker.io/a_b/x", ""},
        {"Lib/x", "Lib/x", ""},
        {"LIB/x/y", "LIB/x/y", ""},
    });
}

TEST(ReferenceTable, TakesPaths) {
    expect_taken({
        {"short", "docker.io/library/short", ""},
        {"two/words", "docker.io/two/words", ""},
        {"library/word", "docker.io/library/word", "word"},
        {"index.docker.io/library/word", "docker.io/library/word", "word"},
        {"index.docker.io/word", "docker.io/library/word", "word"},
        {"docker.io/word", "docker.io/library/word", "word"},
        {"docker.io/library/word/more", "docker.io/library/word/more", "library/word/more"},
        {"index.docker.io/some/word", "docker.io/some/word", "some/word"},
        {"some/library", "docker.io/some/library", ""},
        {"p/q/r", "docker.io/p/q/r", ""},
        {"aa/aa/aa/aa/aa/aa/aa/aa/bb/bb/bb/bb/bb",
         "docker.io/aa/aa/aa/aa/aa/aa/aa/aa/bb/bb/bb/bb/bb", ""},
        {"a/a/a/a", "docker.io/a/a/a/a", ""},
        {"one.example/q", "one.example/q", ""},
        {"one.example/q/r", "one.example/q/r", ""},
        {"sub-1.one.example/q/r/s:some-long-tag", "sub-1.one.example/q/r/s:some-long-tag", ""},
        {"one.example/two.example/my-app:three.example",
         "one.example/two.example/my-app:three.example", ""},
        {"aa-a/a", "docker.io/aa-a/a", ""},
        {"a_b/c", "docker.io/a_b/c", ""},
        {"a__b/c", "docker.io/a__b/c", ""},
        {"a-b/c", "docker.io/a-b/c", ""},
        {"a---b/c", "docker.io/a---b/c", ""},
        {"a.b.c", "docker.io/library/a.b.c", ""},
        {"0/1", "docker.io/0/1", ""},
        {many(64, "a") + "/b", "docker.io/" + many(64, "a") + "/b", ""},
        {"Upper/lower:t", "Upper/lower:t", ""},
        {"lower:Upper", "docker.io/library/lower:Upper", ""},
    });
}

TEST(ReferenceTable, TakesTags) {
    expect_taken({
        {"w:t", "docker.io/library/w:t", ""},
        {"w:5000", "docker.io/library/w:5000", ""},
        {"one.example:t", "docker.io/library/one.example:t", ""},
        {"one.example:5000", "docker.io/library/one.example:5000", ""},
        {"x_y.example:8080", "docker.io/library/x_y.example:8080", ""},
        {"x/x_y.example:8080", "docker.io/x/x_y.example:8080", ""},
        {"w:_t", "docker.io/library/w:_t", ""},
        {"w:t.u-v_w", "docker.io/library/w:t.u-v_w", ""},
        {"w:T5", "docker.io/library/w:T5", ""},
        {"w:" + many(128, "t"), "docker.io/library/w:" + many(128, "t"), ""},
        {"host:5000/w:t", "host:5000/w:t", ""},
        {"host:5000/w", "host:5000/w", ""},
        {"192.0.2.1:5000/w:5050", "192.0.2.1:5000/w:5050", ""},
    });
}

TEST(ReferenceTable, TakesDigests) {
    expect_taken({
        {"w@sha256:" + sha, "docker.io/library/w@sha256:" + sha, ""},
        {"w:t@sha256:" + sha, "docker.io/library/w:t@sha256:" + sha, ""},
        {"host:5000/w@sha256:" + sha, "host:5000/w@sha256:" + sha, ""},
        {"host:5000/w:t@sha256:" + sha, "host:5000/w:t@sha256:" + sha, ""},
        {"[2001:db8::1]:5000/w:t@sha256:" + sha, "[2001:db8::1]:5000/w:t@sha256:" + sha, ""},
        {"w@sha512:" + sha512, "docker.io/library/w@sha512:" + sha512, ""},
        {"w:t@sha384:" + sha384, "docker.io/library/w:t@sha384:" + sha384, ""},
    });
}

TEST(ReferenceTable, TakesIds) {
    expect_taken({
        {sha, "sha256:" + sha, "sha256:" + sha},
        {"abababababababababababababababababababababababababababababababa",
         "docker.io/library/abababababababababababababababababababababababababababababababa", ""},
        {"abababababab", "docker.io/library/abababababab", ""},
        {sha + "0", "docker.io/library/" + sha + "0", ""},
        {"sha256:" + sha, "sha256:" + sha, ""},
        {"sha512:" + sha512, "sha512:" + sha512, ""},
        {"sha384:" + sha384, "sha384:" + sha384, ""},
        {"sha256:abababababab", "docker.io/library/sha256:abababababab", ""},
        {"sha512:" + sha, "docker.io/library/sha512:" + sha, ""},
        {"docker.io/" + sha, "docker.io/library/" + sha, sha},
        {"host.example/" + sha, "host.example/" + sha, ""},
        {sha + ":t", "docker.io/library/" + sha + ":t", ""},
    });
}

TEST(ReferenceTable, TakesLengths) {
    expect_taken({
        {"name/" + many(250, "a"), "docker.io/name/" + many(250, "a"), ""},
        {many(247, "a"), "docker.io/library/" + many(247, "a"), ""},
        {"host.example/" + many(255, "a") + ":t", "host.example/" + many(255, "a") + ":t", ""},
        {many(127, "a/") + "a:t-beyond", "docker.io/" + many(127, "a/") + "a:t-beyond", ""},
    });
}

TEST(ReferenceTable, RefusesInTheLibrarysWords) {
    expect_refused("invalid reference format",
                   {"one.example:http/x", "-kl.example/x", "kl-.example/x", "k.-lm/x", "k.lm-/x",
                    "k..l/x", "[2001:db8::3]75050/x", "[2001:db8::3]::75050/x",
                    "[fe80::3%eth0]:75050/x", "[fe80::3%@zone]:75050/x", "2001:db8::3:75050/x",
                    "[2001:db8::1]", "[2001:db8::1]:5000", "[2001:db8::1]:tag",
                    "[2001:db8::192.0.2.33]:5000/x", "a___b.example/x", "a_b.example:5000/x", "",
                    "a/a/a/a/", "a//a/a", "/a", "a/", "one.example/", "^", "a^a", "aa/as$$^/aa",
                    "as$$^/aa", "-a/a", "a/-a", "a-/a/a/a", "-a-/a", "a/a-", "a-/a", "a_/a",
                    "_a/a", "_a/_a", "__/__", "a___b/c", "a..b/c", "a_.b/c", "a-.b/c", "a./c",
                    ".a/c", "a.b/c-/d", "a/b.", "https://one.example/x", "x y", "x\ty",
                    "\xc3\xbc/x", "w:", "w:t:u", "w:.t", "w:-t", "w:" + many(129, "t"), "w:t/u",
                    ":t", "@sha256:" + sha, "w@", "w@sha256", "w@sha256:",
                    "w@sha256:abababababababababababababababa", "w@sha256:" + many(64, "g"),
                    "w@sha_256:" + sha, "w@sha-256:" + sha, "w@1sha:" + sha, "w@sha+1:" + sha,
                    "w@sha256:" + sha + ":t", "w@sha256:" + sha + "@sha256:" + sha, "w@x:y"});
    expect_refused("repository name must be lowercase",
                   {"A_b.example/x"});
    expect_refused("invalid reference format: repository name (library/Upper) must be lowercase",
                   {"Upper", "Upper:t"});
    expect_refused("invalid reference format: repository name (lower/Upper) must be lowercase",
                   {"lower/Upper"});
    expect_refused("invalid reference format: repository name (Upper/lower) must be lowercase",
                   {"host:5000/Upper/lower:t"});
    expect_refused("invalid reference format: repository name (some/Upper) must be lowercase",
                   {"one.example/some/Upper"});
    expect_refused("invalid checksum digest length",
                   {"w@sha256:ababababababababababababababababab",
                    "w@sha256:abababababababababababababababababababababababababababababababa",
                    "w@sha256:" + sha + "0", "w@sha256:abababababababababababababababab",
                    "w@sha512:" + sha});
    expect_refused("invalid checksum digest format",
                   {"w@sha256:ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"});
    expect_refused("unsupported digest algorithm",
                   {"w@md5:" + sha, "w@good+bad:" + sha});
    expect_refused("invalid reference format: repository name (library/w@SHA256) must be lowercase",
                   {"w@SHA256:" + sha});
    expect_refused("invalid reference format: repository name (library/" + many(32, "AB") +
                       ") must be lowercase",
                   {"ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB"});
    expect_refused("repository name must not be more than 255 characters",
                   {"name/" + many(251, "a"), "library/" + many(248, "a"), many(248, "a"),
                    "host.example/" + many(256, "a") + ":t", many(126, "a/") + "ab/a:t"});
}

TEST(ReferenceTable, WhatIsNoDomainIsPartOfThePath) {
    const Reference odd = Reference::parse("a_b.example/x:t");
    EXPECT_EQ(odd.domain(), "");
    EXPECT_EQ(odd.path(), "a_b.example/x");
    EXPECT_EQ(odd.familiar_name(), "a_b.example/x");
    EXPECT_EQ(odd.with_tag("u").full(), "a_b.example/x:u");
}

}  // namespace
}  // namespace dockerd::model
