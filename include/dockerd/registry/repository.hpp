#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <dockerd/registry/failure.hpp>
#include <dockerd/registry/manifest.hpp>
#include <dockerd/registry/service.hpp>

namespace dockerd::registry {

/// One repository of a registry, spoken to over one endpoint.
///
/// The first contact is the construction: it finds out how the registry wants to be asked.
/// Throws: Failure, http::ClientError; unavailable, "context canceled".
/// Thread: any number may use one repository.
class Repository {
public:
    enum class Access { pull, push };

    /// `path` is "library/busybox".
    Repository(const Service& service, const Endpoint& endpoint, std::string path, Access access,
               const Caller& caller);
    ~Repository();
    Repository(const Repository&) = delete;
    Repository& operator=(const Repository&) = delete;

    [[nodiscard]] const std::string& path() const;
    [[nodiscard]] const Endpoint& endpoint() const;

    /// What a tag stands for now. Its size is -1 when the registry does not say.
    [[nodiscard]] Descriptor resolve_tag(const std::string& tag) const;

    /// A manifest as it was sent.
    struct Document {
        std::string content_type;
        std::string text;
    };
    /// `reference` is a digest or a tag.
    [[nodiscard]] Document get_manifest(const std::string& reference) const;
    /// The content type of a manifest, or nothing when it is not here.
    [[nodiscard]] std::optional<std::string> manifest_type(const std::string& digest) const;
    /// Stores a manifest; returns the digest the registry gave it.
    std::string put_manifest(const std::string& reference, const std::string& content_type,
                             const std::string& text) const;
    /// All tags, over all pages.
    [[nodiscard]] std::vector<std::string> tags() const;

    /// A blob on its way.
    struct Blob {
        http::ClientResponse body;
        std::int64_t size = -1;   ///< of the whole blob; -1 when the registry does not say
        std::int64_t offset = 0;  ///< where the body begins
    };
    /// Asks for a blob from `offset` on. A registry that cannot do that sends it from the start.
    /// `cancellation`, if there is one, ends its waits in place of the caller's.
    /// Throws: Failure{blob_unknown}, "unknown blob".
    [[nodiscard]] Blob open_blob(const std::string& digest, std::int64_t offset,
                                 const base::CancellationPtr& cancellation) const;
    /// A small blob as a whole. Throws: Failure, when it has more than `limit` bytes.
    [[nodiscard]] std::string get_blob(const std::string& digest, std::size_t limit) const;

    /// The size of a blob; nullopt when the registry does not have it.
    [[nodiscard]] std::optional<std::int64_t> stat_blob(const std::string& digest) const;

    /// Where an upload goes on; empty when the blob was mounted instead.
    struct Upload {
        std::string location;
    };
    /// Begins an upload, or mounts the blob `mount` of the repository `from` in its place.
    [[nodiscard]] Upload start_upload(const std::string& mount = {},
                                      const std::string& from = {}) const;
    /// Sends the bytes of a source in chunks of HTTP, and closes the upload as `digest()`, which
    /// is asked when they are through.
    void upload(Upload upload, const std::function<std::size_t(std::span<char>)>& source,
                const std::function<std::string()>& digest) const;
    /// Gives an upload up; never fails.
    void try_cancel_upload(const Upload& upload) const noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace dockerd::registry
