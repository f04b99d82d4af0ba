// Archives made to reach beyond where they are unpacked, through the worker as the daemon uses it.
// Whatever becomes of a member, nothing beside the root may change in any way.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fmt/format.h>

#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/error.hpp>

#include "hostile.hpp"
#include "support/unpacker.hpp"

namespace dockerd::archive {
namespace {

using testing::archive_of;
using testing::Arena;
using testing::device_field;
using testing::pax;
using testing::Raw;
using testing::record;

struct Case {
    std::string what;
    std::vector<Raw> members;
    std::string layer;    ///< the error as a layer, "" for none; "*" stands for the arena's path
    std::string archive;  ///< the error as an archive that is copied to /dest
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
    return text;
}

class Hostile : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    }

    template <typename Work>
    static std::string error_of(const Arena& arena, const Work& work) {
        std::string text;
        try {
            work();
        } catch (const base::Error& error) {
            text = error.what();
        }
        EXPECT_EQ(arena.state(), arena.before);
        if (text.size() > 200) text = text.substr(0, 20) + "..." + text.substr(text.size() - 30);
        return replaced(text, arena.top, "*");
    }

    static void run(const std::vector<Case>& cases) {
        for (const Case& one : cases) {
            SCOPED_TRACE(one.what);
            for (const bool as_layer : {true, false}) {
                const Arena arena;
                std::vector<Raw> members = one.members;
                for (Raw& member : members) {
                    member.link = replaced(member.link, "*", arena.top);
                    member.name = replaced(member.name, "*", arena.top);
                    if (member.type != 'x') continue;
                    const auto mark = member.data.find('*');
                    if (mark == std::string::npos) continue;
                    member.data = record("linkpath", arena.top + "/outside/canary");
                }
                const ByteSource tar = memory_source(archive_of(members));
                const base::Fd root = arena.open_root();
                const base::Fd split{::memfd_create("split", MFD_CLOEXEC)};
                ExtractOptions options;
                options.below = "dest";
                const std::string error = error_of(arena, [&] {
                    if (as_layer) {
                        (void)testing_unpacker().unpack_layer(tar, root.get(), split.get());
                    } else {
                        (void)testing_unpacker().unpack_archive(tar, root.get(), options);
                    }
                });
                EXPECT_EQ(error, as_layer ? one.layer : one.archive)
                    << (as_layer ? "as a layer" : "as an archive");
            }
        }
    }
};

const std::string up = "../../../../../../";

TEST_F(Hostile, Names) {
    run({
        {"up",
         {{.name = "../evil"}},
         "\"../evil\" is outside of \"/\"",
         "\"../evil\" is outside of \"/dest\""},
        {"up, later",
         {{.name = "a/../../evil"}},
         "\"../evil\" is outside of \"/\"",
         "\"../evil\" is outside of \"/dest\""},
        {"up, behind a dot",
         {{.name = "./../evil"}},
         "\"../evil\" is outside of \"/\"",
         "\"../evil\" is outside of \"/dest\""},
        {"far up",
         {{.name = "a/b/../../../evil"}},
         "\"../evil\" is outside of \"/\"",
         "\"../evil\" is outside of \"/dest\""},
        {"the parent itself",
         {{.name = "..", .type = '5'}},
         "\"..\" is outside of \"/\"",
         "\"..\" is outside of \"/dest\""},
        {"the parent itself, with a slash",
         {{.name = "../", .type = '5', .mode = 0}},
         "\"..\" is outside of \"/\"",
         "\"..\" is outside of \"/dest\""},
        {"absolute and up", {{.name = "/../evil"}}, "", ""},
        {"absolute", {{.name = "*/outside/canary", .data = "x"}}, "", ""},
        {"two slashes", {{.name = "//evil"}}, "", ""},
        {"not quite a parent", {{.name = ".. /evil"}, {.name = "...", .type = '5'}}, "", ""},
        {"no name", {{.name = ""}}, "", ""},
        {"the root as a file",
         {{.name = "./"}, {.name = "."}},
         "duplicates of file paths not supported",
         ""},
        {"the root as a link", {{.name = ".", .type = '2', .link = "*/outside"}}, "", ""},
        {"the root as a hard link", {{.name = ".", .type = '1', .link = "x"}}, "", ""},
        {"a NUL", {{.name = std::string("a\0/../../evil", 13)}}, "", ""},
        {"a part too long",
         {pax(record("path", std::string(256, 'n'))), {.name = "x"}},
         "open /nnnnnnnnnnnnnn...nnnnnnnnnn: file name too long",
         "open /dest/nnnnnnnnn...nnnnnnnnnn: file name too long"},
        {"a path too long",
         {pax(record("path", replaced(std::string(3000, 'd'), "d", "d/") + "f")), {.name = "x"}},
         "open /d/d/d/d/d/d/d/.../d/d/d/d/f: file name too long",
         "open /dest/d/d/d/d/d.../d/d/d/d/f: file name too long"},
        {"a file as a directory",
         {{.name = "f"}, {.name = "f/below"}},
         "open /f/below: not a directory",
         "open /dest/f/below: not a directory"},
        {"twice the same",
         {{.name = "f"}, {.name = "f"}},
         "duplicates of file paths not supported",
         ""},
    });
}

TEST_F(Hostile, Symlinks) {
    run({
        {"up, then below",
         {{.name = "l", .type = '2', .link = up}, {.name = "l/evil"}},
         "",
         "invalid symlink \"/dest/l\" -> \"../../../../../../\""},
        {"out, then below",
         {{.name = "l", .type = '2', .link = "*/outside"}, {.name = "l/evil"}},
         "mkdir l: file exists",
         "mkdir dest/l: file exists"},
        {"to a file, then over it",
         {{.name = "l", .type = '2', .link = "*/outside/canary"}, {.name = "./l", .data = "x"}},
         "duplicates of file paths not supported",
         ""},
        {"to a file, then a directory over it",
         {{.name = "l", .type = '2', .link = "*/outside"}, {.name = "l/", .type = '5', .mode = 0}},
         "duplicates of file paths not supported",
         ""},
        {"to a file, then a fifo over it",
         {{.name = "l", .type = '2', .link = "*/outside/canary"},
          {.name = "./l", .type = '6', .mode = 0}},
         "duplicates of file paths not supported",
         ""},
        {"to a file, then a link over it",
         {{.name = "l", .type = '2', .link = "*/outside/canary"},
          {.name = "./l", .type = '2', .link = "*/outside"}},
         "duplicates of file paths not supported",
         ""},
        {"a directory that becomes a link",
         {{.name = "d/", .type = '5'},
          {.name = "d", .type = '2', .link = "*/outside"},
          {.name = "d/evil"}},
         "duplicates of file paths not supported",
         "mkdir dest/d: file exists"},
        {"a chain",
         {{.name = "x", .type = '2', .link = "."},
          {.name = "x/y", .type = '2', .link = ".."},
          {.name = "x/y/z", .type = '2', .link = "../.."},
          {.name = "x/y/z/outside/evil"}},
         "",
         ""},
        {"magic, the root",
         {{.name = "m", .type = '2', .link = "/proc/self/root"}, {.name = "m/evil"}},
         "mkdir m: file exists",
         "mkdir dest/m: file exists"},
        {"magic, a descriptor",
         {{.name = "m", .type = '2', .link = "/proc/self/fd/6"}, {.name = "m/evil"}},
         "mkdir m: file exists",
         "mkdir dest/m: file exists"},
        {"a loop",
         {{.name = "l", .type = '2', .link = "l"}, {.name = "l/evil"}},
         "open /l/evil: too many levels of symbolic links",
         "open /dest/l/evil: too many levels of symbolic links"},
        {"to nothing",
         {{.name = "l", .type = '2', .link = ""}},
         "symlink  /l: no such file or directory",
         "symlink  /dest/l: no such file or directory"},
        {"very far",
         {pax(record("linkpath", std::string(5000, 't'))), {.name = "l", .type = '2'}},
         "symlink tttttttttttt...ttttttt /l: file name too long",
         "symlink tttttttttttt...tt /dest/l: file name too long"},
    });
}

TEST_F(Hostile, HardLinks) {
    run({
        {"absolute, out",
         {{.name = "h", .type = '1', .link = "*/outside/canary"}},
         "link */outside/canary /h: no such file or directory",
         "link /dest*/outside/canary /dest/h: no such file or directory"},
        {"up and out",
         {{.name = "h", .type = '1', .link = up + "outside/canary"}},
         "link /outside/canary /h: no such file or directory",
         "invalid hardlink \"/outside/canary\" -> \"../../../../../../outside/canary\""},
        {"to a link out, with a mode",
         {{.name = "s", .type = '2', .link = "*/outside/canary"},
          {.name = "h", .type = '1', .link = "s", .mode = 04777}},
         "",
         ""},
        {"through a link out",
         {{.name = "o", .type = '2', .link = "*/outside"},
          {.name = "h", .type = '1', .link = "o/canary"}},
         "link /o/canary /h: no such file or directory",
         "link /dest/o/canary /dest/h: no such file or directory"},
        {"to a directory",
         {{.name = "d/", .type = '5'}, {.name = "h", .type = '1', .link = "d"}},
         "link /d /h: operation not permitted",
         "link /dest/d /dest/h: operation not permitted"},
        {"to itself",
         {{.name = "h", .type = '1', .link = "h"}},
         "link /h /h: no such file or directory",
         "link /dest/h /dest/h: no such file or directory"},
        {"to the root",
         {{.name = "h", .type = '1', .link = "."}},
         "link /. /h: operation not permitted",
         "link /dest /dest/h: operation not permitted"},
        {"to what is missing",
         {{.name = "h", .type = '1', .link = "none"}},
         "link /none /h: no such file or directory",
         "link /dest/none /dest/h: no such file or directory"},
        {"magic",
         {{.name = "h", .type = '1', .link = "/proc/self/root/etc/passwd"}},
         "link /proc/self/root/etc/passwd /h: no such file or directory",
         "link /dest/proc/self/root/etc/passwd /dest/h: no such file or directory"},
        // Allowed: absolute is meant from the archive's root.
        {"absolute, inside",
         {{.name = "a", .data = "x"}, {.name = "h", .type = '1', .link = "/a"}},
         "",
         ""},
        {"on top of its target",
         {{.name = "a", .data = "x"},
          {.name = "h", .type = '1', .link = "a", .mode = 04755},
          {.name = "./a", .type = '2', .link = "*/outside/canary"},
          {.name = "./h", .type = '1', .link = "a", .mode = 0777}},
         "duplicates of file paths not supported",
         ""},
    });
}

TEST_F(Hostile, Whiteouts) {
    run({
        {"of nothing", {{.name = ".wh."}}, "invalid whiteout \".wh.\"", ""},
        {"of the directory", {{.name = "d/.wh.."}}, "invalid whiteout \"d/.wh..\"", ""},
        {"of the parent", {{.name = "d/.wh..."}}, "invalid whiteout \"d/.wh...\"", ""},
        {"up, to hide",
         {{.name = "../outside/.wh.canary"}},
         "\"../outside/.wh.canary\" is outside of \"/\"",
         "\"../outside/.wh.canary\" is outside of \"/dest\""},
        {"through a link",
         {{.name = "o", .type = '2', .link = "*/outside"}, {.name = "o/.wh.canary"}},
         "mkdir o: file exists",
         "mkdir dest/o: file exists"},
        {"opaque, through a link",
         {{.name = "o", .type = '2', .link = "*/outside"}, {.name = "o/.wh..wh..opq"}},
         "mkdir o: file exists",
         "mkdir dest/o: file exists"},
        {"of a link", {{.name = "o", .type = '2', .link = "*/outside"}, {.name = ".wh.o"}}, "", ""},
        {"of what the layer brings", {{.name = "k", .data = "k"}, {.name = ".wh.k"}}, "", ""},
        {"as a directory", {{.name = ".wh.d/", .type = '5'}, {.name = ".wh.d/f"}}, "", ""},
        {"another engine's", {{.name = ".wh..wh.plnk/", .type = '5'}}, "", ""},
        {"the device itself", {{.name = "w", .type = '3', .device = device_field(0, 0)}}, "", ""},
    });
}

TEST_F(Hostile, DevicesAndAttributes) {
    const auto attribute = [](const std::string& name, const std::string& value) {
        return pax(record("SCHILY.xattr." + name, value));
    };
    run({
        {"a disk",
         {{.name = "disk", .type = '4', .mode = 0666, .device = device_field(254, 0)},
          {.name = "./disk", .data = "x"}},
         "duplicates of file paths not supported",
         ""},
        {"memory, through a link",
         {{.name = "m", .type = '3', .mode = 0666, .device = device_field(1, 1)},
          {.name = "l", .type = '2', .link = "m"},
          {.name = "./l", .data = "x"}},
         "duplicates of file paths not supported",
         ""},
        {"device numbers beyond all",
         {{.name = "n", .type = '3', .device = device_field(07777777, 07777777)}},
         "mknod /n: invalid argument",
         "mknod /dest/n: invalid argument"},
        {"a fifo, then data",
         {{.name = "p", .type = '6', .mode = 0666}, {.name = "./p", .data = "x"}},
         "duplicates of file paths not supported",
         ""},
        {"opaque by attribute",
         {attribute("trusted.overlay.opaque", "y"), {.name = "d/", .type = '5'}},
         "",
         ""},
        {"redirected",
         {attribute("trusted.overlay.redirect", "/../../etc"), {.name = "d/", .type = '5'}},
         "",
         ""},
        {"only metadata", {attribute("trusted.overlay.metacopy", "x"), {.name = "f"}}, "", ""},
        {"overlay's by users",
         {attribute("user.overlay.redirect", "/etc"), {.name = "d/", .type = '5'}},
         "",
         ""},
        {"a user's on a link to a file outside",
         {attribute("trusted.evil", "x"), {.name = "l", .type = '2', .link = "*/outside/canary"}},
         "",
         ""},
        {"a capability that is none",
         {attribute("security.capability", "short"), {.name = "f"}},
         "setxattr f security.capability: invalid argument",
         "setxattr f security.capability: invalid argument"},
        {"an access list that is none",
         {attribute("system.posix_acl_access", "bad"), {.name = "f"}},
         "setxattr f system.posix_acl_access: invalid argument",
         "setxattr f system.posix_acl_access: invalid argument"},
        {"of no name space",
         {attribute("evil", "x"), {.name = "f"}},
         "setxattr f evil: operation not supported",
         "setxattr f evil: operation not supported"},
        {"too large",
         {attribute("user.big", std::string(70'000, 'b')), {.name = "f"}},
         "setxattr f user.big: argument list too long",
         "setxattr f user.big: argument list too long"},
    });
}

TEST_F(Hostile, Extensions) {
    run({
        {"another path",
         {pax(record("path", "../evil")), {.name = "x"}},
         "\"../evil\" is outside of \"/\"",
         "\"../evil\" is outside of \"/dest\""},
        {"another target",
         {pax(record("linkpath", "*")), {.name = "h", .type = '1'}},
         "link */outside/canary /h: no such file or directory",
         "link /dest*/outside/canary /dest/h: no such file or directory"},
        {"a path with a NUL",
         {pax(record("path", std::string("a\0/../../evil", 13))), {.name = "x"}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"a path for all", {pax(record("path", "../evil"), 'g'), {.name = "x"}}, "", ""},
        {"a huge size",
         {pax(record("size", "9223372036854775807")), {.name = "x"}},
         "unexpected EOF",
         "unexpected EOF"},
        {"a negative size",
         {pax(record("size", "-1")), {.name = "x"}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"an owner beyond all",
         {pax(record("uid", "4294967296")), {.name = "x"}},
         "x: user 4294967296 or group 0 is out of range",
         "x: user 4294967296 or group 0 is out of range"},
        {"no owner",
         {pax(record("uid", "4294967295")), {.name = "x"}},
         "x: user 4294967295 or group 0 is out of range",
         "x: user 4294967295 or group 0 is out of range"},
        {"a record that is too long",
         {pax("99 path=x\n"), {.name = "x"}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"a record without end",
         {pax("10 path=xy"), {.name = "x"}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"a long name that goes up",
         {{.name = "L", .type = 'L', .data = std::string("../evil\0", 8)}, {.name = "x"}},
         "\"../evil\" is outside of \"/\"",
         "\"../evil\" is outside of \"/dest\""},
        {"a long target that goes up",
         {{.name = "K", .type = 'K', .data = up + "outside/canary"}, {.name = "h", .type = '1'}},
         "link /outside/canary /h: no such file or directory",
         "invalid hardlink \"/outside/canary\" -> \"../../../../../../outside/canary\""},
        {"an extension of gigabytes",
         {{.name = "x", .type = 'x', .size_field = "17777777777", .data_missing = true}},
         "archive/tar: header field too long",
         "archive/tar: header field too long"},
        {"a map of the holes that overlaps",
         {pax(record("GNU.sparse.map", "0,9,4,9") + record("GNU.sparse.size", "64")),
          {.name = "x", .data = "0123456789abcdefgh"}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"a map without end",
         {pax(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") +
              record("GNU.sparse.realsize", "64")),
          {.name = "x", .data = "1073741824\n"}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
    });
}

TEST_F(Hostile, Headers) {
    run({
        {"a wrong sum",
         {{.name = "x", .bad_checksum = true}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"a size beyond all",
         {{.name = "x",
           .size_field = std::string("\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", 12)}},
         "unexpected EOF",
         "unexpected EOF"},
        {"a size below zero",
         {{.name = "x",
           .size_field = std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12)}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"a size that is none",
         {{.name = "x", .size_field = "99999999999"}},
         "archive/tar: invalid tar header",
         "archive/tar: invalid tar header"},
        {"cut off",
         {{.name = "x", .size_field = "00000100000"}},
         "unexpected EOF",
         "unexpected EOF"},
        {"a volume's label",
         {{.name = "v", .type = 'V'}},
         "unhandled tar header type 86",
         "unhandled tar header type 86"},
        {"a contiguous file",
         {{.name = "c", .type = '7'}},
         "unhandled tar header type 55",
         "unhandled tar header type 55"},
        {"of no known kind",
         {{.name = "z", .type = 'Z'}},
         "unhandled tar header type 90",
         "unhandled tar header type 90"},
    });
}

}  // namespace
}  // namespace dockerd::archive
