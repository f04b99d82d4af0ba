#pragma once

#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/engine/images.hpp>
#include <dockerd/http/body.hpp>

#include "../codec/images.hpp"

namespace dockerd::api {

/// A progress stream: one flushed line a message, and its head before the first.
class ProgressWriter {
public:
    explicit ProgressWriter(http::ResponseWriter& out) : out_(out) {}

    void operator()(const engine::Progress& progress) { send(codec::encode_progress(progress)); }
    /// Ends the stream in failure: as an HTTP error while nothing was sent, else as a line.
    void fail_with(const base::Error& error) {
        if (!out_.started()) throw error;
        send(codec::encode_stream_error(error.what()));
    }
    void send(const std::string& line) {
        if (!headed_) out_.head(200, {{"Content-Type", "application/json"}});
        headed_ = true;
        out_.write(line);
        out_.flush();
    }

private:
    http::ResponseWriter& out_;
    bool headed_ = false;
};

}  // namespace dockerd::api
