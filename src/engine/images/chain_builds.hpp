#pragma once

#include <condition_variable>
#include <set>
#include <string>
#include <utility>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::engine {

/// Which layers are being made, so that two pulls of one image do not unpack it twice.
///
/// A layer is known by its chain id and the blob it is made of: a manifest may say of any blob that
/// it makes a layer, and who fetches that one must not keep others from the right one. Whoever makes
/// one waits only for layers below it: nobody waits for somebody who waits for him.
/// Thread: any.
class ChainBuilds {
public:
    /// Chain id and the blob's digest.
    using Key = std::pair<std::string, std::string>;
    /// A claim of one layer; given up on destruction.
    class Claim {
    public:
        Claim(ChainBuilds& builds, Key key) : builds_(&builds), key_(std::move(key)) {}
        Claim(Claim&& other) noexcept
            : builds_(std::exchange(other.builds_, nullptr)), key_(std::move(other.key_)) {}
        Claim& operator=(Claim&&) = delete;
        ~Claim() {
            if (builds_ != nullptr) builds_->release(key_);
        }

    private:
        ChainBuilds* builds_;
        Key key_;
    };

    /// Waits until nobody else makes the layer, and claims it.
    /// Throws: unavailable, "context canceled".
    Claim claim(const std::string& chain_id, const std::string& digest,
                const base::Cancellation& cancellation) {
        const Key key(chain_id, digest);
        base::Lock lock(mutex_);
        (void)changed_.wait(lock, cancellation.token(), [&] { return !claimed_.contains(key); });
        cancellation.check();
        claimed_.insert(key);
        return {*this, key};
    }

private:
    void release(const Key& key) {
        const base::Lock lock(mutex_);
        claimed_.erase(key);
        changed_.notify_all();
    }

    base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::set<Key> claimed_;
};

}  // namespace dockerd::engine
