#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "images/progress_board.hpp"
#include "images/registries.hpp"

namespace dockerd::engine {

/// Pushes to one endpoint.
///
/// Source: moby distribution/push_v2.go.
class Pusher {
public:
    Pusher(RegistryParts& parts, const registry::Endpoint& endpoint,
           const model::Reference& reference, ProgressBoard& board, registry::Caller caller);

    [[nodiscard]] bool is_connected() const { return repository_ != nullptr; }
    /// First contact.
    void connect();
    void push();

private:
    struct Layer {
        store::LayerInfo info;
        std::string id;  ///< what the client sees
        std::set<std::string> checked;  ///< digests the registry was asked for
        registry::Descriptor remote;
    };
    void push_tag(const model::Reference& reference, const std::string& image_id);
    void push_layers(std::vector<Layer>& layers);
    void push_layer(Layer& layer);
    void push_layer_with_retries(Layer& layer);
    void push_layer_once(Layer& layer);
    [[nodiscard]] bool known_here(Layer& layer);
    [[nodiscard]] bool exists(Layer& layer, bool elsewhere, std::size_t most);
    [[nodiscard]] bool mount(Layer& layer, std::size_t most);
    void upload(Layer& layer);
    void note(Layer& layer, const std::string& digest, std::int64_t size);
    [[nodiscard]] registry::Descriptor push_config(const std::string& json);
    [[nodiscard]] std::string seal(const std::string& digest, const std::string& repository) const;
    [[nodiscard]] std::vector<store::BlobSource> sorted_sources(const Layer& layer) const;

    RegistryParts& parts_;
    const registry::Endpoint endpoint_;
    const model::Reference reference_;
    ProgressBoard& board_;
    registry::Caller caller_;
    const std::string key_;  ///< what ties notes about blobs to credentials
    std::shared_ptr<registry::Repository> repository_;

    base::Mutex mutex_;
    std::map<std::string, registry::Descriptor> remote_;  ///< by diff id
};

}  // namespace dockerd::engine
