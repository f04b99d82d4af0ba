#pragma once

#include <memory>
#include <string>

#include "build/build_log.hpp"
#include "build/builds.hpp"
#include "build/context.hpp"

namespace dockerd::engine::builds {

/// One file that ADD fetched, in a folder of its own.
/// Source: moby builder/dockerfile/copy.go, downloadSource.
class DownloadedFile {
public:
    /// Throws: as Registries::fetch; internal, "digest mismatch ..." unless `checksum` is empty.
    DownloadedFile(const BuildParts& parts, const RegistryCaller& caller, BuildLog& log,
                   const std::string& url, const std::string& checksum);

    /// Empty when neither the URL nor the server names it.
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const std::string& file() const { return file_; }
    [[nodiscard]] SourceTree& files() { return files_; }

private:
    void store(const Fetched& download, BuildLog& log, const std::string& checksum);

    WorkFolder folder_;
    SourceTree files_;
    std::string name_;
    std::string file_;  ///< how it is kept
};

/// Where a build's context comes from when it does not come with the request.
struct RemoteContext {
    std::string dockerfile;         ///< its text, if all there is is a Dockerfile
    std::unique_ptr<Context> files;
};
/// Throws: as Registries::fetch, "error downloading remote context <url>: ..."; internal,
///         `unsupported Content-Type "x"`, "remoteURL (x) could not be recognized as URL".
/// Source: moby builder/remotecontext/detect.go, remote.go.
RemoteContext fetch_context(const BuildParts& parts, const BuildOptions& options, BuildLog& log);

}  // namespace dockerd::engine::builds
