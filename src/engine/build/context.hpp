#pragma once

#include <functional>
#include <string>
#include <vector>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/unpacker.hpp>
#include <dockerd/base/fd.hpp>

#include "build/source_tree.hpp"

namespace dockerd::engine::builds {

/// A folder below `<data-root>/tmp` that is deleted with this.
class WorkFolder {
public:
    /// Throws: internal, "mkdir <path>: <errno text>".
    explicit WorkFolder(const std::string& parent);
    WorkFolder(const WorkFolder&) = delete;
    WorkFolder& operator=(const WorkFolder&) = delete;
    ~WorkFolder();

    [[nodiscard]] int fd() const { return folder_.get(); }
    /// On the host.
    [[nodiscard]] const std::string& path() const { return path_; }

    /// Deletes what a killed daemon left in `parent`.
    static void sweep(const std::string& parent) noexcept;

private:
    base::Fd parent_;
    std::string name_;
    std::string path_;
    base::Fd folder_;
};

/// A note below `<data-root>/tmp` that a container belongs to a build, gone with this: containers
/// outlive a killed daemon, builds do not.
class StepNote {
public:
    /// Throws: internal, "open <path>: <errno text>".
    StepNote(const std::string& parent, const std::string& container_id);
    StepNote(const StepNote&) = delete;
    StepNote& operator=(const StepNote&) = delete;
    ~StepNote();

    /// Calls `settle` for each id in the notes that a killed daemon left, and then deletes the note.
    static void settle_all(const std::string& parent,
                           const std::function<void(const std::string& container_id)>& settle);

private:
    std::string path_;
};

/// The files a client sends with its build.
class Context {
public:
    /// Unpacks a tar, compressed or not, in a worker. Throws: as Unpacker::unpack_archive.
    Context(const std::string& parent, const archive::Unpacker& unpacker,
            const archive::ByteSource& packed);

    [[nodiscard]] SourceTree& files() { return files_; }
    /// On the host. What lies below is the client's: only paths without links may follow.
    [[nodiscard]] const std::string& path() const { return folder_.path(); }
    /// The text of the Dockerfile. Source: moby builder/remotecontext/detect.go.
    /// Throws: internal, "Cannot locate specified Dockerfile: x"; invalid_argument, "the
    ///         Dockerfile (x) cannot be empty". Then deletes it if .dockerignore says so.
    std::string take_dockerfile(std::string& name);

private:
    void remove_ignored(const std::string& dockerfile);

    WorkFolder folder_;
    SourceTree files_;
};

}  // namespace dockerd::engine::builds
