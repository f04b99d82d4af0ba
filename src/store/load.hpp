#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dockerd/archive/tar.hpp>
#include <dockerd/store/import.hpp>

namespace dockerd::store {

/// What an archive holds, unpacked while it streams by: layers are staged, documents kept.
class ArchiveContents {
public:
    ArchiveContents(Layers& layers, const LoadProgressSink& progress)
        : layers_(layers), progress_(progress) {}

    /// Reads the whole outer tar.
    void read(archive::ByteSource stream);

    /// A document's text. Throws: invalid_argument, "open x: no such file or directory".
    [[nodiscard]] const std::string& document(const std::string& path) const;
    [[nodiscard]] bool has_document(const std::string& path) const;

    /// Puts the layer stored under `path` on top of `parent`, checking that it is `diff_id`.
    /// `blob_digest`: what the stored bytes must hash to, or empty. The caller holds the layer.
    LayerInfo place(const std::string& path, const std::string& parent, const std::string& diff_id,
                    const std::string& blob_digest, std::size_t number);

private:
    struct Blob {
        std::optional<StagedLayer> staged;
        std::string diff_id;
        std::string blob_digest;  ///< of the bytes as stored, when the name claims one
    };

    void member(archive::TarReader& reader, const archive::TarEntry& entry);
    void layer(archive::TarReader& reader, const archive::TarEntry& entry, const std::string& path,
               std::string head);
    /// `path` with the archive's links followed.
    [[nodiscard]] std::string resolve(std::string path) const;

    Layers& layers_;
    const LoadProgressSink& progress_;
    std::map<std::string, std::string> documents_;
    std::map<std::string, Blob> blobs_;
    std::map<std::string, std::string> links_;
    std::vector<LayerHold> reused_;  ///< layers that were here already, kept until the end
    std::size_t document_bytes_ = 0;
};

/// One image of an archive, by either format.
struct ArchivedImage {
    std::string config_path;
    std::string config_digest;  ///< empty: not claimed
    struct Layer {
        std::string path;
        std::string digest;
    };
    std::vector<Layer> layers;
    std::vector<std::string> tags;
    std::string parent;
};

/// Reads manifest.json. Source: moby image/tarexport/tarexport.go, manifestItem.
std::vector<ArchivedImage> read_docker_manifest(const ArchiveContents& contents);
/// Reads index.json and what it names, digests checked. Source: OCI image-layout.md.
std::vector<ArchivedImage> read_oci_index(const ArchiveContents& contents);

}  // namespace dockerd::store
