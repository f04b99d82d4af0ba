#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dockerd::store {

/// What a look through a data root has found.
struct RootReport {
    std::size_t images = 0;
    std::size_t layers = 0;
    std::size_t containers = 0;
    std::size_t volumes = 0;
    std::size_t networks = 0;
    bool in_use = false;                ///< an engine has its databases locked
    std::vector<std::string> problems;  ///< what an engine would refuse or lose, a sentence each
    std::vector<std::string> notes;     ///< what is odd but harms nothing
};

/// Reads everything of a data root, without an engine and without changing anything: bolt databases,
/// images and their digests, layers, of which each is put together and hashed again, the links
/// between layers, containers, volumes and networks, and that what one names is there.
///
/// Takes as long as reading all layers does. Objects come and go while an engine runs: then what
/// is found missing need not be.
/// Throws: not_found when `data_root` is no directory.
RootReport check_data_root(const std::string& data_root);

}  // namespace dockerd::store
