#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "images/progress_board.hpp"
#include "images/registries.hpp"

namespace dockerd::engine {

/// Brings the layers of one image here: downloads, unpacks, and puts them on each other.
///
/// Layers are fetched and unpacked side by side, each unpacked while it still arrives; into the
/// store they go in their order. What fails cancels the rest.
/// Thread: its owner's; it has threads of its own.
class LayerPull {
public:
    LayerPull(RegistryParts& parts, std::shared_ptr<registry::Repository> repository,
              std::string repository_name, ProgressBoard& board,
              base::CancellationPtr cancellation);
    LayerPull(const LayerPull&) = delete;
    LayerPull& operator=(const LayerPull&) = delete;
    /// Cancels what still runs, and waits for it.
    ~LayerPull();

    /// Tells which layers are missing, and begins to fetch them.
    void begin(const std::vector<registry::Descriptor>& layers);
    /// Unpacks and stores them; they are held as long as this object lives.
    /// Throws: internal, "layers from manifest don't match image configuration", "failed to
    ///         register layer: ...", and what the download failed with.
    void finish(const std::vector<std::string>& diff_ids);

private:
    struct Layer {
        registry::Descriptor blob;
        std::string id;  ///< what the client sees
        std::string diff_id;
        std::string chain_id;
        std::string parent;
        bool repeated = false;  ///< the same blob stands further down
        std::shared_ptr<DownloadTicket> ticket;
        std::optional<ChainBuilds::Claim> claim;
        std::optional<store::StagedLayer> staged;
        std::optional<store::LayerHold> hold;  ///< of a layer that somebody else made
        bool ready = false;
    };

    [[nodiscard]] bool reuse(Layer& layer, std::string& chain);
    void start_download(Layer& layer);
    void start_workers();
    void work() noexcept;
    void prepare(Layer& layer);
    void stage(Layer& layer);
    [[nodiscard]] archive::ByteSource watched(Layer& layer);
    std::size_t place_from(std::size_t first);
    void placed(Layer& layer);
    bool is_ready(const Layer& layer);
    void fail(std::exception_ptr failure);
    void wait_for(const Layer& layer);

    RegistryParts& parts_;
    std::shared_ptr<registry::Repository> repository_;
    const std::string repository_name_;
    ProgressBoard& board_;
    base::CancellationPtr cancellation_;

    std::vector<Layer> layers_;
    std::size_t present_ = 0;  ///< from the bottom up: here already
    std::vector<store::LayerHold> holds_;

    base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::size_t next_ = 0;
    std::exception_ptr failure_;
    std::vector<std::thread> threads_;
};

}  // namespace dockerd::engine
