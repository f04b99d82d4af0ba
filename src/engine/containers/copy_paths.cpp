#include "copy_paths.hpp"

namespace dockerd::engine {

std::string keep_trailing(std::string cleaned, std::string_view original) {
    if (base_name(cleaned) != "." && base_name(original) == ".") {
        if (!cleaned.ends_with('/')) cleaned += '/';
        cleaned += '.';
    }
    if (!cleaned.ends_with('/') && original.ends_with('/')) cleaned += '/';
    return cleaned;
}

std::string base_name(std::string_view path) {
    if (path.empty()) return ".";
    while (path.ends_with('/')) path.remove_suffix(1);
    path.remove_prefix(path.rfind('/') + 1);  // npos + 1 is 0
    return path.empty() ? "/" : std::string(path);
}

std::string directory_part(std::string_view path) {
    return std::string(path.substr(0, path.rfind('/') + 1));
}

bool lies_in(std::string_view path, std::string_view directory) {
    while (directory.ends_with('/')) directory.remove_suffix(1);
    return path.starts_with(directory) &&
           (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace dockerd::engine
