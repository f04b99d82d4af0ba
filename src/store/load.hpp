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
    /// The paths of all documents, sorted.
    [[nodiscard]] std::vector<std::string> documents() const;
    /// Adds a document, of which all together may not be too many.
    void add_document(const std::string& path, std::string text);
    /// What a layer of the archive is. Throws: as document().
    [[nodiscard]] const std::string& diff_id(const std::string& path) const;

    /// One layer of an image.
    struct Layer {
        std::string path;
        std::string digest;  ///< of the bytes as stored; empty: not claimed
    };
    /// Puts the layers on each other, checking that they are `diff_ids`. Returns a hold of each.
    std::vector<LayerHold> place(const std::vector<Layer>& layers,
                                 const std::vector<std::string>& diff_ids);

private:
    struct Blob {
        std::optional<StagedLayer> staged;
        std::string diff_id;
        std::string blob_digest;  ///< of the bytes as stored, when the name claims one
    };

    Blob& checked(const Layer& layer, const std::string& diff_id, std::size_t number);
    LayerInfo copied(const Layer& layer, const std::string& diff_id, const std::string& parent);
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
    std::vector<ArchiveContents::Layer> layers;
    std::vector<std::string> tags;
    std::string parent;
};

/// Reads manifest.json. Source: moby image/tarexport/tarexport.go, manifestItem.
std::vector<ArchivedImage> read_docker_manifest(const ArchiveContents& contents);
/// Reads the folders of an archive of Docker before 1.10, and `repositories`.
/// Source: moby image/tarexport/load.go, legacyLoad.
std::vector<ArchivedImage> read_legacy_folders(ArchiveContents& contents);
/// Reads index.json and what it names, digests checked. Source: OCI image-layout.md.
std::vector<ArchivedImage> read_oci_index(const ArchiveContents& contents);

}  // namespace dockerd::store
