#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace dockerd::store {

/// A layer unpacked and hashed that has no place in a chain yet; dropped unless committed.
/// Layers of one image can so be unpacked at the same time and in any order.
class StagedLayer {
public:
    StagedLayer(StagedLayer&&) noexcept;
    StagedLayer& operator=(StagedLayer&&) noexcept;
    ~StagedLayer();

    [[nodiscard]] const std::string& diff_id() const;
    [[nodiscard]] std::int64_t size() const;

    struct State;

private:
    friend class Layers;
    explicit StagedLayer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace dockerd::store
