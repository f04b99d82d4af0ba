#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/sys/seals.hpp>

#include "driver.hpp"

namespace dockerd::logging {

namespace {

constexpr const char* journal_socket = "/run/systemd/journal/socket";

/// Source: systemd docs/JOURNAL_NATIVE_PROTOCOL.md: what has a newline gets its length in front.
void append_field(std::string& out, std::string_view name, std::string_view value) {
    out += name;
    if (value.find('\n') == std::string_view::npos) {
        out += '=';
    } else {
        out += '\n';
        for (unsigned shift = 0; shift < 64; shift += 8) {
            out += static_cast<char>(std::uint64_t{value.size()} >> shift);
        }
    }
    out += value;
    out += '\n';
}

/// A name journald takes: upper case letters, digits and underscores, not one of these first.
// Source: moby daemon/logger/journald/journald.go, sanitizeKeyMod.
std::string field_name(const std::string& key) {
    std::string out;
    for (char c : key) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        // A character of several bytes becomes one underscore.
        if ((static_cast<unsigned char>(c) & 0xc0U) == 0x80U) continue;
        if (!plain) c = '_';
        if (out.empty() && c == '_') continue;
        out += c;
    }
    return out;
}

std::string random_id() {
    unsigned char raw[32] = {};
    (void)::getrandom(raw, sizeof raw, 0);  // an id only: any bytes will do
    std::string id;
    for (const unsigned char c : raw) id += fmt::format("{:02x}", c);
    return id;
}

// Source: moby daemon/logger/journald/journald.go; coreos/go-systemd journal.
class Journald final : public Driver {
public:
    explicit Journald(const ForwarderConfig& config) {
        peer_.sun_family = AF_UNIX;
        std::strncpy(peer_.sun_path, journal_socket, sizeof peer_.sun_path - 1);
        socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const base::Fd probe{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        if (!socket_ || ::connect(probe.get(), address(), sizeof peer_) != 0) {
            base::fail(base::ErrorKind::internal, "journald is not enabled on this host");
        }
        const auto& info = config.info;
        const auto tag = render_tag(config.options, info, "{{.ID}}");
        std::map<std::string, std::string> fields{
            {"CONTAINER_ID", info.id.substr(0, 12)},
            {"CONTAINER_ID_FULL", info.id},
            {"CONTAINER_NAME", info.name.starts_with('/') ? info.name.substr(1) : info.name},
            {"CONTAINER_TAG", tag},
            {"IMAGE_NAME", info.image_name},
            {"SYSLOG_IDENTIFIER", tag},
            {"CONTAINER_LOG_EPOCH", random_id()},
        };
        for (const auto& [key, value] : extra_attributes(config.options, info)) {
            fields[field_name(key)] = value;
        }
        for (const auto& [key, value] : fields) append_field(fixed_, key, value);
    }

    void log(const Record& record) override {
        std::string data;
        append_field(data, "PRIORITY", record.is_error ? "3" : "6");
        append_field(data, "MESSAGE", record.line);
        data += fixed_;
        const base::WallTime time(record.time / 1'000'000'000,
                                  static_cast<std::int32_t>(record.time % 1'000'000'000));
        append_field(data, "SYSLOG_TIMESTAMP", base::format_rfc3339_nano(time));
        if (record.partial) {
            append_field(data, "CONTAINER_PARTIAL_ID", record.partial_id);
            append_field(data, "CONTAINER_PARTIAL_ORDINAL", std::to_string(record.ordinal));
            append_field(data, "CONTAINER_PARTIAL_LAST", record.last ? "true" : "false");
            if (!record.last) append_field(data, "CONTAINER_PARTIAL_MESSAGE", "true");
        }
        append_field(data, "CONTAINER_LOG_ORDINAL", std::to_string(++ordinal_));
        send(data);
    }

private:
    [[nodiscard]] const sockaddr* address() const {
        return reinterpret_cast<const sockaddr*>(&peer_);
    }

    void send(const std::string& data) {
        for (;;) {
            if (::sendto(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL, address(),
                         sizeof peer_) >= 0) {
                return;
            }
            if (errno == EINTR) continue;
            if (errno == EMSGSIZE || errno == ENOBUFS) return send_file(data);
            base::throw_errno(errno, "write unixgram " + std::string(journal_socket));
        }
    }

    /// What is too long for a datagram goes as a sealed file.
    void send_file(const std::string& data) {
        const base::Fd file{::memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
        constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        if (!file || ::write(file.get(), data.data(), data.size()) < 0 ||
            !sys::add_seals(file.get(), seals)) {
            base::throw_errno(errno, "large journal entry");
        }
        msghdr message{};
        message.msg_name = &peer_;
        message.msg_namelen = sizeof peer_;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        const int raw = file.get();
        std::memcpy(CMSG_DATA(header), &raw, sizeof raw);
        if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0) {
            base::throw_errno(errno, "large journal entry");
        }
    }

    sockaddr_un peer_{};
    base::Fd socket_;
    std::string fixed_;  ///< fields that are the same in all entries
    std::uint64_t ordinal_ = 0;
};

}  // namespace

std::unique_ptr<Driver> open_journald(const ForwarderConfig& config) {
    return std::make_unique<Journald>(config);
}

}  // namespace dockerd::logging
