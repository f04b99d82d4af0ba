#pragma once

#include <condition_variable>
#include <set>
#include <string>

#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/mutex.hpp>

namespace dockerd::engine {

/// Which layers are being made, so that two pulls of one image do not unpack it twice.
///
/// A layer is known by its chain id, and whoever makes one waits only for layers below it: nobody
/// waits for somebody who waits for him.
/// Thread: any.
class ChainBuilds {
public:
    /// A claim of one layer; given up on destruction.
    class Claim {
    public:
        Claim(ChainBuilds& builds, std::string chain_id)
            : builds_(&builds), chain_id_(std::move(chain_id)) {}
        Claim(Claim&& other) noexcept
            : builds_(std::exchange(other.builds_, nullptr)), chain_id_(std::move(other.chain_id_)) {}
        Claim& operator=(Claim&&) = delete;
        ~Claim() {
            if (builds_ != nullptr) builds_->release(chain_id_);
        }

    private:
        ChainBuilds* builds_;
        std::string chain_id_;
    };

    /// Waits until nobody else makes the layer, and claims it.
    /// Throws: unavailable, "context canceled".
    Claim claim(const std::string& chain_id, const base::Cancellation& cancellation) {
        base::Lock lock(mutex_);
        (void)changed_.wait(lock, cancellation.token(), [&] { return !claimed_.contains(chain_id); });
        cancellation.check();
        claimed_.insert(chain_id);
        return {*this, chain_id};
    }

private:
    void release(const std::string& chain_id) {
        const base::Lock lock(mutex_);
        claimed_.erase(chain_id);
        changed_.notify_all();
    }

    base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::set<std::string> claimed_;
};

}  // namespace dockerd::engine
