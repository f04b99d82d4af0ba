#pragma once

#include <string>
#include <vector>

#include "overlay.hpp"

namespace dockerd::store {

/// What an init layer on some image consists of; the same for all containers of the image.
struct InitTemplate {
    struct Item {
        enum class Kind { directory, file, symlink };
        Kind kind = Kind::directory;
        std::string path;
        mode_t mode = 0755;
        bool has_owner = false;  ///< copied from the image; else the caller's
        uid_t uid = 0;
        gid_t gid = 0;
        std::string target;
    };
    std::vector<Item> items;  ///< parents first
};

/// Works out the mount points a container needs on top of an image.
/// Source: moby daemon/initlayer/setup_unix.go, Setup.
InitTemplate plan_init_layer(const LowerStack& image);

/// Makes the items below the directory `diff`.
void apply_init_layer(const InitTemplate& plan, int diff, std::uint32_t uid, std::uint32_t gid);

}  // namespace dockerd::store
