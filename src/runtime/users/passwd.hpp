#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace dockerd::runtime::users {

/// What a user text comes to.
struct Identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;  ///< the primary one first
    std::string home;
};

/// Reads a file's next bytes into the buffer; returns the count, 0 at the end or on failure.
using Source = std::function<std::size_t(char* buffer, std::size_t size)>;

/// Calls `line` for each line of `source` until it returns false. Lines over 16 KiB are passed
/// over; memory stays at one buffer, however long the file is.
void each_line(const Source& source, const std::function<bool(std::string_view)>& line);

/// Opens etc/passwd or etc/group anew for each pass; an empty source when there is none.
struct Files {
    std::function<Source()> passwd;
    std::function<Source()> group;
    /// The passwd that tells the homes, after `passwd` was opened; an empty source: the same one.
    std::function<Source()> homes;
};

/// Looks up Docker's Config.User and --group-add. Returns an error text, empty when all is well.
/// Source: moby/sys/user, GetExecUser and GetAdditionalGroups; moby daemon/oci_linux.go, getUser.
std::string look_up(const Files& files, std::string_view user,
                    const std::vector<std::string>& additional, Identity& identity);

/// Files of the container below the directory `root`. Only regular files are read, with
/// O_NONBLOCK, and links stay within the root. Names and numbers are those of the root file
/// system, whatever is mounted on it: that only tells the homes, as with Docker.
/// `blind` is set when a root of another mount namespace has something mounted in the way: then
/// what is mounted is read instead.
/// Source: moby daemon/oci_linux.go, resourcePath; runc init_linux.go, the numbers' home.
Files files_in_root(int root, bool* blind = nullptr);

}  // namespace dockerd::runtime::users
