#include "listeners.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include <dockerd/base/error.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>

namespace dockerd::app {
namespace {

using base::log::Level;

constexpr std::string_view default_group = "docker";

[[noreturn]] void fail(const std::string& text, int errno_value = 0) {
    throw base::Error(base::ErrorKind::internal, text, errno_value);
}

[[noreturn]] void fail_errno(const std::string& what, int errno_value) {
    fail(fmt::format("{}: {}", what, base::errno_text(errno_value)), errno_value);
}

// --- unix ----------------------------------------------------------------------------------

/// The group's id. A missing default group is no error, another one is.
gid_t socket_group(const std::string& group, const std::string& path) {
    if (group.empty()) return ::getgid();
    std::array<char, 16384> buffer;
    ::group entry{};
    ::group* found = nullptr;
    (void)::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found) return found->gr_gid;
    if (const auto number = base::parse_int(group); number && *number >= 0) {
        return static_cast<gid_t>(*number);
    }
    const std::string text = fmt::format("group {} not found", group);
    if (group != default_group) fail(text);
    base::log::warn("could not change group {} to {}: {}", path, default_group, text);
    return ::getgid();
}

/// Removes a socket that a dead daemon left.
/// Differs from Docker: anything but a socket stays, and binding fails.
void remove_stale_socket(const std::string& path) {
    struct stat entry {};
    if (::lstat(path.c_str(), &entry) == 0 && S_ISSOCK(entry.st_mode)) {
        (void)::unlink(path.c_str());
    }
}

BoundSocket bind_unix(const std::string& path, const std::string& group) {
    const gid_t gid = socket_group(group, path);
    const std::string what =
        fmt::format("can't create unix socket {}: listen unix {}: bind", path, path);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) fail_errno(what, EINVAL);
    std::memcpy(address.sun_path, path.data(), path.size());

    remove_stale_socket(path);
    base::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) base::throw_errno(errno, "socket");
    // Nobody may connect before owner and mode are right.
    const mode_t before = ::umask(0777);
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int failure = errno;
    (void)::umask(before);
    if (bound != 0) fail_errno(what, failure);
    if (::chown(path.c_str(), 0, gid) != 0 || ::chmod(path.c_str(), 0660) != 0) {
        fail_errno(fmt::format("can't create unix socket {}", path), errno);
    }
    if (::listen(fd.get(), SOMAXCONN) != 0) base::throw_errno(errno, "listen");
    return {.fd = std::move(fd), .name = path, .path = path, .tcp_like = false};
}

// --- tcp -----------------------------------------------------------------------------------

struct AddressList {
    addrinfo* first = nullptr;
    AddressList() = default;
    AddressList(const AddressList&) = delete;
    AddressList& operator=(const AddressList&) = delete;
    ~AddressList() {
        if (first) ::freeaddrinfo(first);
    }
};

void resolve(const HostPort& target, AddressList& out) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    const int failure = ::getaddrinfo(target.host.empty() ? nullptr : target.host.c_str(),
                                      target.port.c_str(), &hints, &out.first);
    if (failure != 0) {
        fail(fmt::format("listen tcp: lookup {}: {}", target.host, ::gai_strerror(failure)));
    }
}

/// The first IPv4 address, or the first of all. Source: Go net, favoriteAddrFamily.
const addrinfo& preferred(const AddressList& list) {
    for (const addrinfo* entry = list.first; entry; entry = entry->ai_next) {
        if (entry->ai_family == AF_INET) return *entry;
    }
    return *list.first;
}

}  // namespace

bool can_listen_on(const std::string& host) {
    addrinfo* found = nullptr;
    const bool known = !host.empty() && ::getaddrinfo(host.c_str(), nullptr, nullptr, &found) == 0;
    if (known) ::freeaddrinfo(found);
    return known;
}

namespace {

bool is_loopback(const std::string& host) {
    if (host == "localhost") return true;
    AddressList list;
    resolve({host, "0"}, list);
    const addrinfo& entry = preferred(list);
    if (entry.ai_family == AF_INET) {
        const auto* const v4 = reinterpret_cast<const sockaddr_in*>(entry.ai_addr);
        return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    }
    const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(entry.ai_addr);
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

std::string socket_name(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
    if (address.ss_family == AF_UNIX) {
        const auto* const local = reinterpret_cast<const sockaddr_un*>(&address);
        return local->sun_path;
    }
    if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(),
                      port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "";
    }
    const bool v6 = address.ss_family == AF_INET6;
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", host.data(), v6 ? "]" : "", port.data());
}

/// Warns of a tcp socket that anybody may use. The texts are Docker's; scripts look for them.
/// Differs from Docker: one second of delay in place of sixteen.
/// Source: moby cmd/dockerd/daemon.go, loadListeners and checkTLSAuthOK.
void warn_of_open_tcp(const Host& host, const Config& config) {
    if (config.tls.value_or(false) && config.tls_verify.value_or(false)) return;
    const std::string text = host.text();
    const auto warn = [&](std::string_view message) {
        base::log::write(Level::warn, message, {{"host", text}});
    };
    warn(
        "Binding to IP address without --tlsverify is insecure and gives root access on this "
        "machine to everyone who has access to your network.");
    warn(
        "Binding to an IP address, even on localhost, can also give access to scripts run in a "
        "browser. Be safe out there!");
    warn(
        "[DEPRECATION NOTICE] In future versions this will be a hard failure preventing the "
        "daemon from starting! Learn more at: https://docs.docker.com/go/api-security/");
    const bool decided = config.tls.has_value();
    if (decided || is_loopback(split_host_port(host.address).host)) return;
    warn(
        "Binding to an IP address without --tlsverify is deprecated. Startup is intentionally "
        "being slowed down to show this message");
    warn(
        "Please consider generating tls certificates with client validation to prevent exposing "
        "unauthenticated root access to your network");
    warn("You can override this by explicitly specifying '--tls=false' or '--tlsverify=false'");
    warn(
        "Support for listening on TCP without authentication or explicit intent to run without "
        "authentication will be removed in the next release");
    std::this_thread::sleep_for(std::chrono::seconds(1));
}

// --- fd ------------------------------------------------------------------------------------

constexpr int first_activated = 3;

/// How many sockets systemd passed. Source: sd_listen_fds(3).
int activated_count() {
    const char* const pid = ::getenv("LISTEN_PID");
    const char* const count = ::getenv("LISTEN_FDS");
    if (!pid || !count || base::parse_int(pid) != ::getpid()) return 0;
    return static_cast<int>(base::parse_int(count).value_or(0));
}

void bind_activated(const std::string& address, std::vector<BoundSocket>& out) {
    const int count = activated_count();
    if (count <= 0) {
        fail(
            "no sockets found via socket activation: make sure the service was started by "
            "systemd");
    }
    int first = first_activated;
    int last = first_activated + count - 1;
    if (!address.empty() && address != "*") {
        const auto number = base::parse_int(address);
        if (!number) {
            fail("failed to parse systemd fd address: should be a number: " + address);
        }
        if (*number > last || *number < first) {
            fail("too few socket activated files passed in by systemd");
        }
        first = last = static_cast<int>(*number);
    }
    for (int raw = first; raw <= last; ++raw) {
        (void)::fcntl(raw, F_SETFD, FD_CLOEXEC);
        int family = 0;
        socklen_t size = sizeof family;
        if (::getsockopt(raw, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) {
            fail(fmt::format("failed to listen on systemd activated file: fd {}", raw));
        }
        out.push_back({.fd = base::Fd(raw),
                       .name = socket_name(raw),
                       .path = {},
                       .tcp_like = family != AF_UNIX});
    }
}

}  // namespace

BoundSocket bind_tcp(const std::string& address) {
    AddressList list;
    resolve(split_host_port(address), list);
    const addrinfo& entry = preferred(list);
    base::Fd fd(::socket(entry.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) base::throw_errno(errno, "socket");
    const int on = 1;
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd.get(), entry.ai_addr, entry.ai_addrlen) != 0) {
        fail_errno(fmt::format("listen tcp {}: bind", address), errno);
    }
    if (::listen(fd.get(), SOMAXCONN) != 0) base::throw_errno(errno, "listen");
    std::string name = socket_name(fd.get());
    return {.fd = std::move(fd), .name = std::move(name), .path = {}, .tcp_like = true};
}

namespace {

/// What to listen on. Sockets of systemd's are for nobody else: without a word about them, and
/// about hosts, they are all there is; with hosts alone they come beside them.
/// Differs from Docker: there they are served with fd:// only.
std::vector<Host> hosts_to_bind(const Config& config) {
    const bool tls = config.tls.value_or(false);
    const Host activated{"fd", ""};
    if (activated_count() <= 0) return normalize_hosts(config.hosts, tls);
    if (config.hosts.empty()) return {activated};
    auto hosts = normalize_hosts(config.hosts, tls);
    if (std::ranges::find(hosts, "fd", &Host::protocol) == hosts.end()) {
        hosts.insert(hosts.begin(), activated);
    }
    return hosts;
}

bool serves_path(const std::vector<BoundSocket>& sockets, const std::string& path) {
    const auto real = [](const std::string& name) {
        std::error_code failure;  // a path that cannot be looked up is only itself
        const auto found = std::filesystem::weakly_canonical(name, failure);
        return failure ? name : found.string();
    };
    return std::ranges::any_of(sockets, [&](const BoundSocket& socket) {
        return !socket.tcp_like && real(socket.name) == real(path);
    });
}

}  // namespace

std::vector<BoundSocket> bind_listeners(const Config& config) {
    std::vector<BoundSocket> out;
    auto hosts = hosts_to_bind(config);
    // Those of systemd first: a socket that it made is neither made again nor removed at the end.
    std::ranges::stable_partition(hosts, [](const Host& host) { return host.protocol == "fd"; });
    for (const Host& host : hosts) {
        if (host.protocol == "unix" && serves_path(out, host.address)) continue;
        if (host.protocol == "tcp") {
            warn_of_open_tcp(host, config);
            out.push_back(bind_tcp(host.address));
        } else if (host.protocol == "unix") {
            out.push_back(bind_unix(host.address, config.group));
        } else if (host.protocol == "fd") {
            bind_activated(host.address, out);
        } else {
            fail("invalid protocol format: " + base::quote(host.protocol));
        }
        base::log::debug("Listener created for HTTP on {} ({})", host.protocol, host.address);
    }
    return out;
}

std::shared_ptr<http::TlsContext> load_tls(const Config& config) {
    if (!config.tls.value_or(false)) return nullptr;
    return http::make_tls_context({.cert_file = config.tls_cert,
                                   .key_file = config.tls_key,
                                   .ca_file = config.tls_ca,
                                   .verify_client = config.tls_verify.value_or(true)});
}

}  // namespace dockerd::app
