#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/archive/tar.hpp>

#include "build/source_tree.hpp"

namespace dockerd::engine::builds {

/// Large files on their way from a tree into a layer, without a copy of their bytes.
///
/// While the layer is mounted an empty file with a mark keeps the place of each. When it is not mounted
/// any more, the tree's own file gets there by a link, if it is given and in no other layer yet: files of
/// different layers must not look like links of each other. Otherwise its bytes are copied.
class LargeFiles {
public:
    using Owner = std::pair<std::uint32_t, std::uint32_t>;
    LargeFiles();

    /// Leaves the bytes out of a member that is being packed, if they can come later. `path`: in the tree, which
    /// outlives this; `place`: in the layer. `owner`: whom the copy is to belong to, if not to whom the file belongs.
    void leave_out(const SourceTree& tree, const std::string& path, const std::string& place,
                   const std::optional<Owner>& owner, int file, const struct ::stat& info,
                   archive::TarEntry& member);
    /// Throws: internal, if one of those left out since the last call has no place in the layer, seen by `root`.
    void check_places(int root);
    /// Brings in what was left out. `upper`: the layer's own files; it is not mounted.
    void fill(int upper) const;

private:
    struct File {
        const SourceTree* tree = nullptr;
        std::string path;
        ino_t inode = 0;
        std::string place;
        std::string mark;
    };
    static bool link(const File& file, int given, int parent, const std::string& name);
    static void copy(const File& file, int given, int parent, const std::string& name);

    std::string mark_;
    std::vector<File> files_;
    std::size_t checked_ = 0;
};

}  // namespace dockerd::engine::builds
