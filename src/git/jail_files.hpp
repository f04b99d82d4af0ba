#pragma once

#include <string>
#include <vector>

#include <dockerd/base/fd.hpp>

namespace dockerd::git {

/// Whom git runs as.
constexpr unsigned nobody = 65534;

/// What git sees of files, made in two steps: what is the host's is taken, and then put into a file
/// system of the jail's own.
/// Throws: internal, "<call>: <errno text>".
class JailFiles {
public:
    /// Takes. Pre: in the mount namespace of `folder`.
    JailFiles(int folder, bool has_keys);
    /// Puts, and leaves everything else. Pre: in a mount namespace of this thread's own.
    void enter();

private:
    struct Tree {
        std::string path;  ///< "/usr", "/dev/null"
        base::Fd mount;
        bool writable = false;
        bool is_file = false;
    };
    struct Text {
        std::string path;
        std::string content;
    };
    struct Link {
        std::string path;
        std::string target;
    };
    void take_programs();
    void take_settings();
    void take_keys();
    void take_tree(const std::string& path, bool is_file = false);
    void take_text(const std::string& path);
    void put_trees(const base::Fd& root) const;
    void put_texts(const base::Fd& root) const;

    std::vector<Tree> trees_;
    std::vector<Text> texts_;
    std::vector<Link> links_;
    std::vector<Text> keys_;
};

}  // namespace dockerd::git
