#include "build/download.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <exception>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/git/source.hpp>

#include "build/git_files.hpp"

namespace dockerd::engine::builds {
namespace {

using base::ErrorKind;

constexpr const char* unnamed = "__unnamed__";
/// Of a context that is a Dockerfile alone. Docker has no bound.
constexpr std::size_t max_dockerfile = 16UL << 20U;

std::string last_part(std::string_view path) {
    const std::string name(path.substr(path.rfind('/') + 1));
    return name == "." || name == ".." ? std::string() : name;
}

/// The path of a URL, with its percent signs read.
std::string path_of(std::string_view url) {
    const auto authority = url.find("://");
    if (authority != std::string_view::npos) url.remove_prefix(authority + 3);
    url = url.substr(0, url.find_first_of("?#"));
    const auto slash = url.find('/');
    if (slash == std::string_view::npos) return {};
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        const int letter = (c | 0x20) - 'a';
        return letter >= 0 && letter < 6 ? letter + 10 : -1;
    };
    std::string out;
    for (std::string_view rest = url.substr(slash); !rest.empty(); rest.remove_prefix(1)) {
        const bool coded = rest.front() == '%' && rest.size() > 2 && digit(rest[1]) >= 0 &&
                           digit(rest[2]) >= 0;
        out += coded ? static_cast<char>(digit(rest[1]) * 16 + digit(rest[2])) : rest.front();
        if (coded) rest.remove_prefix(2);
    }
    return out;
}

/// `filename` of a Content-Disposition, which may be quoted.
std::string disposed_name(std::string_view header) {
    const auto at = base::to_lower(header).find("filename=");
    if (at == std::string::npos) return {};
    auto value = base::trim(header.substr(at + 9));
    if (value.starts_with('"')) {
        value.remove_prefix(1);
        value = value.substr(0, value.find('"'));
    } else {
        value = base::trim(value.substr(0, value.find(';')));
    }
    return value.ends_with('/') ? std::string() : last_part(value);
}

std::string name_for(const std::string& url, const Fetched& download) {
    const std::string path = path_of(url);
    if (!path.empty() && !path.ends_with('/')) {
        if (std::string name = last_part(path); !name.empty()) return name;
    }
    return disposed_name(download.disposition);
}

/// Seconds of a date of HTTP; 0 for what is none.
std::time_t seconds_of(const std::string& date) {
    std::tm parts{};
    if (::strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return 0;
    return ::timegm(&parts);
}

/// What a server sends that does not say what it is.
// Source: Go net/http/sniff.go, DetectContentType, as far as contexts go.
bool is_text(std::string_view head) {
    return std::ranges::none_of(head, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte <= 0x08 || byte == 0x0b || (byte >= 0x0e && byte <= 0x1a) ||
               (byte >= 0x1c && byte <= 0x1f);
    });
}

// Source: moby builder/remotecontext/remote.go, acceptableRemoteMIME.
bool is_archive(std::string_view type) {
    static constexpr auto known = std::to_array<std::string_view>(
        {"application/tar", "application/x-tar", "application/octet-stream", "application/gzip",
         "application/x-gzip", "application/bzip", "application/bzip2", "application/x-bzip",
         "application/x-bzip2", "application/xz", "application/x-xz"});
    return std::ranges::any_of(known, [&](std::string_view name) {
        return type.find(name) != std::string_view::npos;
    });
}

}  // namespace

DownloadedFile::DownloadedFile(const BuildParts& parts, const RegistryCaller& caller, BuildLog& log,
                               const std::string& url, const std::string& checksum)
    : folder_(parts.data_root + "/tmp"), files_(folder_.fd()) {
    parts.registries.fetch(url, caller, log.cancellation(), [&](const Fetched& download) {
        name_ = name_for(url, download);
        file_ = name_.empty() ? unnamed : name_;
        store(download, log, checksum);
    });
    log.out("\n");
}

void DownloadedFile::store(const Fetched& download, BuildLog& log, const std::string& checksum) {
    const base::Fd file{
        ::openat(folder_.fd(), file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!file) base::throw_errno(errno, "open " + file_);
    archive::Sha256 sum;
    const auto sink = archive::fd_sink(file.get());
    std::vector<char> buffer(128 * 1024);
    std::int64_t done = 0;
    while (const std::size_t n = download.read(buffer)) {
        sink({buffer.data(), n});
        if (!checksum.empty()) sum.update({buffer.data(), n});
        done += static_cast<std::int64_t>(n);
        log.bytes("", "Downloading", done, download.size);
    }
    if (!checksum.empty()) {
        const std::string digest = sum.digest();
        if (digest != checksum) {
            base::fail(ErrorKind::internal,
                       fmt::format("digest mismatch {}: {}", digest, checksum));
        }
    }
    const timespec time{.tv_sec = seconds_of(download.last_modified), .tv_nsec = 0};
    const std::array<timespec, 2> times{time, time};
    if (::futimens(file.get(), times.data()) != 0) base::throw_errno(errno, "chtimes " + file_);
}

namespace {

/// Reads the beginning and says what it is; `whole` then begins with it again.
std::string type_of(const Fetched& download, archive::ByteSource& whole) {
    auto head = std::make_shared<std::string>(100, '\0');
    const std::size_t size = archive::read_full(download.read, {head->data(), head->size()});
    head->resize(size);
    if (head->empty()) base::fail(ErrorKind::internal, "empty response");
    std::string type = download.content_type;
    if (type.empty() || type == "application/octet-stream") {
        type = is_text(*head) ? "text/plain" : "application/octet-stream";
    }
    whole = [head, &download](std::span<char> buffer) -> std::size_t {
        if (head->empty()) return download.read(buffer);
        const std::size_t n = std::min(head->size(), buffer.size());
        std::copy_n(head->begin(), n, buffer.begin());
        head->erase(0, n);
        return n;
    };
    return type;
}

}  // namespace

RemoteContext fetch_context(const BuildParts& parts, const BuildOptions& options, BuildLog& log) {
    const std::string& url = options.remote;
    if (url == "client-session") {
        base::fail(ErrorKind::invalid_argument,
                   "experimental session with v1 builder is no longer supported, use builder "
                   "version v2 (BuildKit) instead");
    }
    if (git::is_context(url)) {
        return {.dockerfile = {}, .files = fetch_git_context(parts, url, log.cancellation())};
    }
    if (!url.starts_with("http://") && !url.starts_with("https://")) {
        base::fail(ErrorKind::internal,
                   fmt::format("remoteURL ({}) could not be recognized as URL", url));
    }
    RemoteContext out;
    const auto read = [&](const Fetched& download) {
        archive::ByteSource whole;
        const std::string type =
            base::in_context("error detecting content type for remote " + url,
                             [&] { return type_of(download, whole); });
        std::int64_t done = 0;
        const auto told = [&](std::span<char> buffer) {
            const std::size_t n = whole(buffer);
            done += static_cast<std::int64_t>(n);
            log.bytes("Downloading context", url, done, download.size);
            return n;
        };
        if (type.find("text/plain") != std::string::npos) {
            out.dockerfile = archive::read_all(told, max_dockerfile, "the Dockerfile");
        } else if (is_archive(type)) {
            out.files = std::make_unique<Context>(parts.data_root + "/tmp",
                                                  parts.store.layers().unpacker(), told);
        } else {
            base::fail(ErrorKind::internal,
                       fmt::format("error detecting content type for remote {}: unsupported "
                                   "Content-Type {}",
                                   url, base::quote(download.content_type)));
        }
    };
    // What is wrong with an answer is told as it is.
    std::exception_ptr wrong;
    base::in_context("error downloading remote context " + url, [&] {
        parts.registries.fetch(url, options.caller, log.cancellation(),
                               [&](const Fetched& download) {
                                   try {
                                       read(download);
                                   } catch (...) {
                                       wrong = std::current_exception();
                                   }
                               });
    });
    if (wrong) std::rethrow_exception(wrong);
    return out;
}

}  // namespace dockerd::engine::builds
