#pragma once

#include <functional>
#include <memory>

namespace dockerd::net {

/// Takes links away without waiting for all that the kernel does about it.
///
/// A link is gone for everybody who looks when the kernel tells so (RTM_DELLINK). The call that removes it
/// then still waits, for some tens of milliseconds, until no processor can be looking at it any more;
/// that wait is a thread's of its own, and keeps nobody's lock.
/// Thread: any, in the network namespace of the link.
class LinkRemover {
public:
    LinkRemover();
    LinkRemover(const LinkRemover&) = delete;
    LinkRemover& operator=(const LinkRemover&) = delete;
    /// Waits for what is under way, but not for a link that the kernel never lets go of.
    ~LinkRemover();

    /// Nobody sees the link any more on return. `meanwhile` is what the caller has to do anyway, and is done
    /// while the kernel works; it does not throw.
    /// Throws: internal, "delete link: <errno text>".
    void remove(int index, const std::function<void()>& meanwhile = {});

private:
    struct Threads;
    std::shared_ptr<Threads> threads_;  ///< theirs, too: they may outlive the remover
};

}  // namespace dockerd::net
