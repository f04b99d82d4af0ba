#include <dockerd/base/error.hpp>

#include <cctype>
#include <cstring>

namespace dockerd::base {

std::string errno_text(int errno_value) {
    const char* text = ::strerrordesc_np(errno_value);
    std::string out = text != nullptr ? text : "errno " + std::to_string(errno_value);
    // "Input/output error" becomes "input/output error", as Go prints it.
    if (out.size() > 1 && std::islower(static_cast<unsigned char>(out[1])) != 0) {
        out[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(out[0])));
    }
    return out;
}

void throw_errno(int errno_value, std::string_view what) {
    throw Error(ErrorKind::internal, std::string(what) + ": " + errno_text(errno_value),
                errno_value);
}

void fail(ErrorKind kind, const std::string& message) { throw Error(kind, message); }

}  // namespace dockerd::base
