#include "launch/failure.hpp"

#include <dockerd/base/strings.hpp>

#include <initializer_list>
#include <string>
#include <string_view>

namespace dockerd::runtime::launch {

namespace {

/// Steps that are not container init's.
bool is_outside(std::string_view step) {
    for (const std::string_view other :
         {"cgroup", "clone", "namespace", "state", "stdio", "launcher", "protocol"}) {
        if (step == other) return true;
    }
    return false;
}

std::string whole_text(Attempt attempt, const wire::Failed& failed) {
    std::string text = failed.text;
    if (failed.error != 0) text += ": " + base::errno_text(failed.error);
    // Docker finds these out itself, before its runtime is asked.
    if (failed.step == "lookup") return text;
    if (failed.step == "log") {
        return "failed to create task for container: failed to initialize logging driver: " + text;
    }
    // containerd's word for an error of no class of its own.
    text += ": unknown";
    if (attempt == Attempt::exec) {
        return "OCI runtime exec failed: exec failed: unable to start container process: " + text;
    }
    return "failed to create task for container: failed to create shim task: OCI runtime create "
           "failed: runc create failed: unable to start container process: " +
           std::string(is_outside(failed.step) ? "" : "error during container init: ") + text;
}

}  // namespace

StartFailure start_failure(Attempt attempt, const wire::Failed& failed) {
    std::string text = whole_text(attempt, failed);
    const std::string lower = base::to_lower(text);
    const auto has = [&](std::string_view words) { return lower.find(words) != std::string::npos; };
    const auto make = [&](base::ErrorKind kind, int code) {
        return StartFailure(kind, text, failed.error, failed.step, code);
    };
    constexpr auto invalid = base::ErrorKind::invalid_argument;
    if (failed.step == "lookup") {
        return make(attempt == Attempt::exec ? invalid : base::ErrorKind::internal, 128);
    }
    if (has("permission denied")) return make(invalid, 126);
    if (has("is a directory")) {
        text += ": permission denied";
        return make(invalid, 126);
    }
    if (has("not a directory")) {
        text +=
            ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the "
            "specified host path exists and is the expected type";
        return make(invalid, 127);
    }
    if (has("executable file not found") || has("no such file or directory")) {
        return make(invalid, 127);
    }
    return make(base::ErrorKind::internal, 128);
}

}  // namespace dockerd::runtime::launch
