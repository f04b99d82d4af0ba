#pragma once

#include <memory>
#include <string_view>

namespace dockerd::net {

/// Takes links away without waiting for all that the kernel does about it.
///
/// A link is gone for everybody who looks when the kernel tells so (RTM_DELLINK). The call that removes it
/// then still waits, for some tens of milliseconds, until no processor can be looking at it any more;
/// that wait is a thread's of its own, and keeps nobody's lock.
/// Thread: any, in the network namespace of the link.
///
/// A bridge that nothing hangs on any more may as well be retired: it has no address, nobody is told to
/// use it, and it goes a moment later, when those who come next do not have to wait for the kernel's lock.
class LinkRemover {
public:
    /// The alias of a link that is to go. Whoever finds one that was left behind removes it.
    static constexpr std::string_view retired = "dockerd: removed";

    LinkRemover();
    LinkRemover(const LinkRemover&) = delete;
    LinkRemover& operator=(const LinkRemover&) = delete;
    /// Waits for what is under way, but not for a link that the kernel never lets go of.
    ~LinkRemover();

    /// Nobody sees the link any more on return.
    /// Throws: internal, "delete link: <errno text>".
    void remove(int index);
    /// The link goes soon. It bears the alias already.
    /// Throws: internal, "netlink socket: <errno text>"; std::system_error without a thread for it.
    void retire(int index);
    /// Returns when no retired link is there any more.
    void settle();

private:
    struct Threads;
    struct Retired;
    std::shared_ptr<Threads> threads_;  ///< theirs, too: they may outlive the remover
    std::shared_ptr<Retired> retired_;  ///< likewise
};

}  // namespace dockerd::net
