#pragma once

#include <optional>
#include <string>

#include <dockerd/engine/containers.hpp>

#include "logs/entry.hpp"

namespace dockerd::engine::logs {

/// Appends to a string without growing it piece by piece.
class Output {
public:
    Output(std::string& target, std::size_t limit)
        : target_(target), used_(target.size()), goal_(used_ + limit) {}
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    /// The limit is reached.
    [[nodiscard]] bool full() const { return used_ >= goal_; }
    /// Room for `size` bytes, valid until the next call.
    char* room(std::size_t size) {
        if (target_.size() - used_ < size) grow(size);
        return target_.data() + used_;
    }
    void added(std::size_t size) { used_ += size; }
    /// Cuts the string to what was added.
    void close() { target_.resize(used_); }

private:
    void grow(std::size_t size);
    std::string& target_;
    std::size_t used_;
    std::size_t goal_;
};

/// Turns entries into what the client gets.
/// Source: moby api/server/httputils/write_log_stream.go, WriteLogStream.
class Renderer {
public:
    enum class Result { taken, malformed, beyond };

    Renderer(const LogOptions& options, bool tty);

    /// Appends `entry`, which took `size` bytes of the log, unless it is not wanted.
    /// `beyond`: it is later than `until`, and so the last one looked at.
    Result render(const Entry& entry, std::size_t size, Output& output);

private:
    /// Time and attributes in front of the text.
    void write_prefix(const Entry& entry);

    LogOptions options_;
    bool framed_;
    bool since_passed_;
    std::string prefix_;
};

/// Attributes as `details` shows them: "k=v,k2=v2", sorted, escaped as in a query.
std::string render_attributes(std::string_view json_object);

}  // namespace dockerd::engine::logs
