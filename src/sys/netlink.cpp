#include <dockerd/sys/netlink.hpp>

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::sys {

namespace {

constexpr std::size_t align(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

/// The kernel's own sentence about an error, when it sent one.
std::string extended_text(const nlmsghdr& head, const nlmsgerr& error) {
    if ((head.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
    std::size_t offset = sizeof(nlmsghdr) + sizeof(nlmsgerr);
    if ((head.nlmsg_flags & NLM_F_CAPPED) == 0 && error.msg.nlmsg_len >= sizeof(nlmsghdr)) {
        offset += align(error.msg.nlmsg_len) - sizeof(nlmsghdr);
    }
    if (offset >= head.nlmsg_len) return {};
    std::string text;
    const char* begin = reinterpret_cast<const char*>(&head);
    for_each_attribute({begin + offset, head.nlmsg_len - offset},
                       [&text](unsigned type, std::span<const char> payload) {
                           if (type == NLMSGERR_ATTR_MSG) text = attribute_text(payload);
                       });
    return text;
}

/// The first failure among the answers.
struct Failure {
    int code = 0;
    std::string text;

    void note(const nlmsghdr& head, const nlmsgerr& error) {
        if (code != 0 || error.error == 0) return;
        code = -error.error;
        text = extended_text(head, error);
    }
    void raise(std::string_view what) const {
        if (code == 0) return;
        if (text.empty()) base::throw_errno(code, what);
        base::throw_errno(code, fmt::format("{}: {}", what, text));
    }
};

}  // namespace

void NetlinkBatch::begin_raw(std::uint16_t type, unsigned flags, const void* header,
                             std::size_t size) {
    finish();
    starts_.push_back(bytes_.size());
    nlmsghdr head{};
    head.nlmsg_type = type;
    head.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    put_raw(&head, sizeof head);
    put_raw(header, size);
}

void NetlinkBatch::finish() {
    if (starts_.empty()) return;
    bytes_.resize(align(bytes_.size()));
    const auto length = static_cast<std::uint32_t>(bytes_.size() - starts_.back());
    std::memcpy(&bytes_[starts_.back()], &length, sizeof length);
}

void NetlinkBatch::put_raw(const void* data, std::size_t size) {
    const std::size_t start = align(bytes_.size());
    bytes_.resize(start + size);
    if (size != 0) std::memcpy(&bytes_[start], data, size);
}

void NetlinkBatch::put_bytes(unsigned type, const void* data, std::size_t size) {
    nlattr head{};
    head.nla_len = static_cast<std::uint16_t>(sizeof head + size);
    head.nla_type = static_cast<std::uint16_t>(type);
    put_raw(&head, sizeof head);
    put_raw(data, size);
}

void NetlinkBatch::put_text(unsigned type, std::string_view text) {
    const std::string terminated(text);
    put_bytes(type, terminated.c_str(), terminated.size() + 1);
}

std::size_t NetlinkBatch::open_nest(unsigned type) {
    put_bytes(type, nullptr, 0);
    return bytes_.size() - sizeof(nlattr);
}

void NetlinkBatch::close_nest(std::size_t position) {
    bytes_.resize(align(bytes_.size()));
    const auto length = static_cast<std::uint16_t>(bytes_.size() - position);
    std::memcpy(&bytes_[position], &length, sizeof length);
}

void NetlinkBatch::add_flags(unsigned flags) {
    nlmsghdr head{};
    std::memcpy(&head, &bytes_[starts_.back()], sizeof head);
    head.nlmsg_flags = static_cast<std::uint16_t>(head.nlmsg_flags | flags);
    std::memcpy(&bytes_[starts_.back()], &head, sizeof head);
}

void NetlinkBatch::clear() {
    bytes_.clear();
    starts_.clear();
}

NetlinkSocket::NetlinkSocket(int protocol)
    : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)) {
    if (!fd_) base::throw_errno(errno, "netlink socket");
    const int on = 1;
    // Without it errors still come, only without the kernel's explanation.
    (void)::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    // Answers then hold no copy of the request.
    (void)::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
}

std::uint32_t NetlinkSocket::port_id() const {
    sockaddr_nl address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        base::throw_errno(errno, "netlink socket");
    }
    return address.nl_pid;
}

void NetlinkSocket::join_group(unsigned group) {
    // A socket without a number is left out of most notifications.
    sockaddr_nl any{};
    any.nl_family = AF_NETLINK;
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0) {
        base::throw_errno(errno, "netlink socket");
    }
    const int number = static_cast<int>(group);
    if (::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &number, sizeof number) != 0) {
        base::throw_errno(errno, "netlink socket");
    }
}

bool receive_notices(const NetlinkSocket& socket, std::vector<char>& buffer, bool& lost,
                     const std::function<void(const NetlinkNotice&)>& on_notice) {
    constexpr std::size_t room = 64 * 1024;
    buffer.resize(room);
    const ssize_t size =
        ::recv(socket.fd().get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0) {
        lost = lost || errno == ENOBUFS;
        return errno == ENOBUFS || errno == EINTR;
    }
    lost = lost || static_cast<std::size_t>(size) > buffer.size();
    std::span<const char> left(buffer.data(), std::min(static_cast<std::size_t>(size), room));
    while (left.size() >= sizeof(nlmsghdr)) {
        nlmsghdr head{};
        std::memcpy(&head, left.data(), sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > left.size()) break;
        on_notice({head.nlmsg_pid, head.nlmsg_type,
                   left.subspan(sizeof head, head.nlmsg_len - sizeof head)});
        left = left.subspan(std::min(align(head.nlmsg_len), left.size()));
    }
    return true;
}

void NetlinkSocket::send(NetlinkBatch& batch, std::string_view what) {
    batch.finish();
    for (const std::size_t start : batch.starts_) {
        std::memcpy(&batch.bytes_[start + offsetof(nlmsghdr, nlmsg_seq)], &sequence_,
                    sizeof sequence_);
        ++sequence_;
    }
    // A batch larger than the socket's buffer is refused; the limit only bounds, nothing is kept.
    if (batch.bytes_.size() > 64 * 1024) {
        const int size = static_cast<int>(batch.bytes_.size() * 4);
        (void)::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        (void)::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    }
    ssize_t sent = 0;
    do {
        sent = ::send(fd_.get(), batch.bytes_.data(), batch.bytes_.size(), 0);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) base::throw_errno(errno, what);
}

bool NetlinkSocket::receive(std::string_view what) {
    buffer_.resize(32 * 1024);
    ssize_t got = 0;
    do {
        got = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) base::throw_errno(errno, what);
    buffer_.resize(static_cast<std::size_t>(got));
    return got > 0;
}

void NetlinkSocket::transact(NetlinkBatch& batch, std::string_view what,
                             const std::function<void(const NetlinkReply&)>& on_reply) {
    const std::uint32_t first = sequence_;
    send(batch, what);
    std::size_t open = 0;
    for (std::size_t i = 0; i < batch.starts_.size(); ++i) {
        nlmsghdr head{};
        std::memcpy(&head, &batch.bytes_[batch.starts_[i]], sizeof head);
        if ((head.nlmsg_flags & NLM_F_ACK) == 0) continue;
        ++open;
    }
    Failure failure;
    while (open > 0 && receive(what)) {
        auto left = static_cast<unsigned>(buffer_.size());
        for (auto* head = reinterpret_cast<nlmsghdr*>(buffer_.data()); NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left)) {
            if (head->nlmsg_seq < first || head->nlmsg_seq >= sequence_) continue;
            if (head->nlmsg_type != NLMSG_ERROR) {
                if (on_reply) {
                    on_reply({head->nlmsg_type,
                              head->nlmsg_seq - first,
                              {reinterpret_cast<char*>(NLMSG_DATA(head)), NLMSG_PAYLOAD(head, 0)}});
                }
                continue;
            }
            const auto* error = reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(head));
            failure.note(*head, *error);
            // Messages without NLM_F_ACK answer only when they fail. When the first of a
            // transaction does (its begin), the whole was refused and nothing else is answered.
            const bool acknowledged = (error->msg.nlmsg_flags & NLM_F_ACK) != 0;
            if (acknowledged && open > 0) --open;
            if (!acknowledged && head->nlmsg_seq == first) open = 0;
        }
    }
    failure.raise(what);
}

void NetlinkSocket::dump(NetlinkBatch& batch, std::string_view what,
                         const std::function<void(const NetlinkReply&)>& on_reply,
                         const std::function<void()>& on_restart) {
    batch.add_flags(NLM_F_DUMP);
    for (int attempt = 0; attempt < 8; ++attempt) {
        const std::uint32_t sequence = sequence_;
        send(batch, what);
        bool interrupted = false;
        bool done = false;
        Failure failure;
        while (!done && receive(what)) {
            auto left = static_cast<unsigned>(buffer_.size());
            for (auto* head = reinterpret_cast<nlmsghdr*>(buffer_.data()); NLMSG_OK(head, left);
                 head = NLMSG_NEXT(head, left)) {
                if (head->nlmsg_seq != sequence) continue;
                interrupted = interrupted || (head->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
                if (head->nlmsg_type == NLMSG_DONE) {
                    done = true;
                } else if (head->nlmsg_type == NLMSG_ERROR) {
                    failure.note(*head, *reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(head)));
                    done = true;
                } else {
                    on_reply({head->nlmsg_type,
                              0,
                              {reinterpret_cast<char*>(NLMSG_DATA(head)), NLMSG_PAYLOAD(head, 0)}});
                }
            }
        }
        failure.raise(what);
        if (!interrupted) return;
        if (on_restart) on_restart();
    }
    base::throw_errno(EINTR, what);
}

void for_each_attribute(std::span<const char> bytes,
                        const std::function<void(unsigned, std::span<const char>)>& visit) {
    while (bytes.size() >= sizeof(nlattr)) {
        nlattr head{};
        std::memcpy(&head, bytes.data(), sizeof head);
        if (head.nla_len < sizeof head || head.nla_len > bytes.size()) return;
        visit(head.nla_type & static_cast<unsigned>(NLA_TYPE_MASK),
              bytes.subspan(sizeof head, head.nla_len - sizeof head));
        bytes = bytes.subspan(std::min(align(head.nla_len), bytes.size()));
    }
}

std::string attribute_text(std::span<const char> payload) {
    const std::string_view all(payload.data(), payload.size());
    return std::string(all.substr(0, all.find('\0')));
}

}  // namespace dockerd::sys
