#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dockerd/archive/pack.hpp>
#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/unpacker.hpp>

#include "build/large_files.hpp"
#include "build/source_tree.hpp"

namespace dockerd::engine::builds {

/// One file or directory that COPY or ADD takes.
struct CopyItem {
    SourceTree* tree = nullptr;  ///< none: `text` is the file
    std::string path;            ///< below the tree's root; its last part is the name it keeps
    std::optional<std::string> text;
    /// Of a directory: what is taken of it, each after the directory it is in; without it everything.
    std::optional<std::vector<std::string>> only;
    std::string hash;
    bool no_unpack = false;  ///< what was downloaded is never an archive
};

/// Where COPY and ADD put files.
///
/// Everything is looked up inside the root, and files are made by a worker that knows nothing
/// else. Source: moby builder/dockerfile/copy.go, performCopyForInfo.
class CopyTarget {
public:
    using Owner = std::pair<std::uint32_t, std::uint32_t>;
    /// `path`: absolute; ends with "/" when it is to be a directory.
    CopyTarget(int root, const archive::Unpacker& unpacker, LargeFiles& large, std::string path);

    /// Whom everything is to belong to: "user", "user:group", numbers. Without it: root.
    /// Throws: internal, "can't find uid for user x: no such user: x" and kin.
    void set_owner(const std::string& text);
    /// Everything belongs to whom it belonged to.
    void keep_owners() { owner_.reset(); }
    /// Permission bits of everything; empty leaves them.
    /// Throws: invalid_argument, `invalid chmod parameter: 'x'. it should be octal string ...`.
    void set_mode(const std::string& text);

    /// Copies one item; `unpacks`: an archive's members instead of the archive.
    void put(const CopyItem& item, bool unpacks);

private:
    void put_directory(const CopyItem& item, const std::string& path);
    void put_file(const CopyItem& item, std::string path);
    void unpack(const archive::ByteSource& tar, const std::string& directory, bool own) const;
    [[nodiscard]] archive::PackOptions pack_options(const SourceTree& tree, const std::string& source,
                                                    const std::string& directory) const;
    [[nodiscard]] std::optional<archive::ByteSource> open_archive(const CopyItem& item) const;

    int root_;
    const archive::Unpacker& unpacker_;
    LargeFiles& large_;
    std::string path_;
    std::optional<Owner> owner_ = Owner{0, 0};
    std::optional<std::uint32_t> mode_;
};

}  // namespace dockerd::engine::builds
