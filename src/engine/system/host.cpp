#include "system/host.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/store/durable.hpp>
#include <dockerd/sys/small_file.hpp>

namespace dockerd::engine {

namespace {

/// The file's bytes; empty when it cannot be read.
std::string read_small_file(const std::string& path) {
    const base::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return sys::read_small(file.get()).value_or("");
}

/// A UUID, or the fingerprint older engines had: "ABCD:EFGH:...".
bool is_id(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '-' || c == ':';
    });
}

/// Random, version 4. Source: RFC 4122, 4.4.
std::string random_uuid() {
    std::string hex = base::random_hex(16);
    hex[12] = '4';
    hex[16] = "89ab"[(hex[16] <= '9' ? hex[16] - '0' : hex[16] - 'a' + 10) & 3];
    for (const std::size_t at : {8U, 13U, 18U, 23U}) hex.insert(at, "-");
    return hex;
}

std::int64_t count_entries(const char* directory) {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory), ::closedir);
    if (!stream) return -1;
    std::int64_t count = 0;
    while (const dirent* const entry = ::readdir(stream.get())) {
        if (entry->d_name[0] != '.') ++count;
    }
    return count - 1;  // the one the look itself took
}

}  // namespace

std::string os_release_value(std::string_view text, std::string_view key) {
    std::string value;
    for (const auto& line : base::split(text, '\n')) {
        if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=')
            continue;
        // The last one counts.
        value = line.substr(key.size() + 1);
        value.erase(0, value.find_first_not_of("\"' "));
        value.erase(value.find_last_not_of("\"' ") + 1);
    }
    return value;
}

bool is_containerized(std::string_view proc_1_cgroup) {
    for (const auto& line : base::split(proc_1_cgroup, '\n')) {
        if (!line.empty() && !line.ends_with(":/") && !line.ends_with(":/init.scope")) return true;
    }
    return false;
}

std::string kernel_version_text(std::string_view release) {
    std::size_t at = 0;
    int numbers = 0;
    while (at < release.size() && release[at] >= '0' && release[at] <= '9') {
        while (at < release.size() && release[at] >= '0' && release[at] <= '9') ++at;
        const bool more = ++numbers < 3 && at + 1 < release.size() && release[at] == '.' &&
                          release[at + 1] >= '0' && release[at + 1] <= '9';
        if (!more) break;
        ++at;
    }
    std::string text(release.substr(0, at));
    if (numbers == 2) text += ".0";
    return text + std::string(release.substr(at));
}

std::string go_architecture(std::string_view machine) {
    if (machine == "x86_64") return "amd64";
    if (machine == "aarch64") return "arm64";
    if (machine.starts_with("armv")) return "arm";
    if (machine == "i386" || machine == "i686") return "386";
    return std::string(machine);
}

HostFacts read_host_facts(const std::string& root) {
    HostFacts facts;
    utsname names{};
    (void)::uname(&names);  // cannot fail with a valid pointer
    facts.kernel_version = kernel_version_text(names.release);
    facts.architecture = names.machine;
    auto release = read_small_file(root + "etc/os-release");
    if (release.empty()) release = read_small_file(root + "usr/lib/os-release");
    facts.operating_system = os_release_value(release, "PRETTY_NAME");
    if (facts.operating_system.empty()) facts.operating_system = "Linux";
    facts.os_version = os_release_value(release, "VERSION_ID");
    if (is_containerized(read_small_file(root + "proc/1/cgroup"))) {
        facts.operating_system += " (containerized)";
    }
    return facts;
}

std::int64_t total_memory() {
    struct sysinfo found;
    if (::sysinfo(&found) != 0) return 0;
    return static_cast<std::int64_t>(found.totalram) * static_cast<std::int64_t>(found.mem_unit);
}

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::int64_t open_descriptors() {
    // Since Linux 6.2 the folder's size is the number.
    struct stat found;
    if (::stat("/proc/self/fd", &found) == 0 && found.st_size > 0) return found.st_size;
    return count_entries("/proc/self/fd");
}

std::int64_t thread_count() {
    struct stat found;
    if (::stat("/proc/self/task", &found) != 0) return 0;
    return static_cast<std::int64_t>(found.st_nlink) - 2;
}

std::string mask_credentials(const std::string& url) {
    const auto scheme = url.find("://");
    if (scheme == std::string::npos) return url;
    const auto begin = scheme + 3;
    const auto end = url.find_first_of("/?#", begin);
    const auto at = url.substr(begin, end - begin).rfind('@');
    if (at == std::string::npos) return url;
    return url.substr(0, begin) + "xxxxx:xxxxx" + url.substr(begin + at);
}

std::string load_or_create_id(const std::string& data_root, store::StartWrites* later) {
    const auto path = data_root + "/engine-id";
    try {
        const std::string known(base::trim(store::read_file(AT_FDCWD, path, 4096)));
        if (is_id(known)) return known;
        if (!known.empty()) base::fail(base::ErrorKind::internal, "not an id");
    } catch (const base::Error& error) {
        if (error.kind() != base::ErrorKind::not_found) {
            base::log::error("{}: {}; it is kept as {}", path, error.what(), store::set_aside(path));
        }
    }
    const auto made = random_uuid();
    if (later == nullptr) {
        base::in_context("error saving ID file", [&] { store::write_durable(path, made, 0600); });
        return made;
    }
    const auto folder = std::make_shared<base::Fd>(store::open_or_make_directory(data_root));
    later->add([folder, made](store::Batch& batch) {
        batch.replace(folder->get(), "engine-id", made, 0600);
        return folder->get();
    });
    return made;
}

}  // namespace dockerd::engine
