#pragma once

#include <string>
#include <string_view>

namespace dockerd::runtime::monitor {

/// Looks for a key sequence in what a client types.
///
/// Bytes that may begin the sequence are held back until it is clear that they do not.
/// Source: moby/term proxy.go, escapeProxy.
class DetachKeys {
public:
    explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}

    /// Passes `input` on to `output`. True when the sequence is complete; what follows it is lost.
    bool filter(std::string_view input, std::string& output) {
        if (keys_.empty()) {
            output.append(input);
            return false;
        }
        for (const char c : input) {
            if (c == keys_[matched_]) {
                if (++matched_ == keys_.size()) return true;
                continue;
            }
            output.append(keys_, 0, matched_);
            // As Docker has it: the byte that broke the sequence does not begin a new one.
            matched_ = 0;
            output += c;
        }
        return false;
    }

private:
    std::string keys_;
    std::size_t matched_ = 0;
};

}  // namespace dockerd::runtime::monitor
