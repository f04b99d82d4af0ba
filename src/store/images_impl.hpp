#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>

#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/store/images.hpp>

namespace dockerd::store {

/// Everything readers see, replaced as a whole.
struct ImageIndex {
    std::map<std::string, ImagePtr> images;         ///< by id
    std::map<std::string, std::string> references;  ///< familiar name -> id
};

struct Images::Impl {
    Impl(const std::string& data_root, Layers& held_layers, StartWrites* later);

    using Repository = std::map<std::string, std::string>;

    struct Known {
        std::shared_ptr<const ImageConfig> config;
        std::string chain_id;
        std::int64_t size = 0;
        std::string parent;
        base::WallTime last_updated;
        bool built_locally = false;
    };

    void load_images();
    void load_image(const std::string& hex);
    void load_repositories(StartWrites* later);
    [[nodiscard]] std::string repositories_text() const;
    void save_repositories();
    /// The same as part of a start, unless there is a file by now.
    int begin_repositories(Batch& batch);
    /// Also of an image that is not there yet, and then not atomically.
    void write_metadata(const std::string& id, const std::string& key, std::string_view value,
                        Batch& batch);
    void try_remove_metadata(const std::string& id) noexcept;
    [[nodiscard]] std::string read_metadata(const std::string& id, const std::string& key) const;
    /// Makes the changes visible. Pre: `mutex` is held.
    void publish();
    [[nodiscard]] std::shared_ptr<const ImageIndex> index() const;

    Layers& layers;
    std::string root;      ///< image/overlay2
    base::Fd root_fd;      ///< image/overlay2/
    base::Fd content_fd;   ///< imagedb/content/sha256/
    base::Fd metadata_fd;  ///< imagedb/metadata/sha256/

    base::Mutex mutex;  ///< one writer at a time
    base::Mutex flush_mutex;
    std::atomic<bool> unflushed{false};  ///< something was created with Flush::later
    std::map<std::string, Known> images;
    std::map<std::string, Repository> repositories;

    mutable base::Mutex index_mutex;  ///< held only to copy the pointer
    std::shared_ptr<const ImageIndex> current = std::make_shared<const ImageIndex>();
};

}  // namespace dockerd::store
