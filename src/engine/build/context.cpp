#include "build/context.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include <dockerd/archive/tree.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/log.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/build/apply.hpp>
#include <dockerd/build/ignore.hpp>
#include <dockerd/sys/paths.hpp>

namespace dockerd::engine::builds {
namespace {

constexpr const char* prefix = "docker-builder";
constexpr const char* default_name = "Dockerfile";
/// Of files that are read as a whole. Docker has no bound.
constexpr std::size_t max_dockerfile = 16UL << 20U;
/// Each pattern costs some hundred times its length.
constexpr std::size_t max_ignore_file = 1UL << 20U;

constexpr const char* note_prefix = "build-step-";

std::vector<std::string> names_in(const std::string& folder, std::string_view beginning) {
    std::vector<std::string> names;
    DIR* const stream = ::opendir(folder.c_str());
    if (stream == nullptr) return names;
    while (const dirent* item = ::readdir(stream)) {
        if (std::string_view(item->d_name).starts_with(beginning)) names.emplace_back(item->d_name);
    }
    ::closedir(stream);
    return names;
}

base::Fd open_parent(const std::string& path) {
    sys::make_directories(path, 0700);
    base::Fd folder{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) base::throw_errno(errno, "open " + path);
    return folder;
}

}  // namespace

WorkFolder::WorkFolder(const std::string& parent)
    : parent_(open_parent(parent)), name_(prefix + base::random_hex(8)), path_(parent + "/" + name_) {
    // The parent keeps others out; a container that is shown this may run as anybody.
    if (::mkdirat(parent_.get(), name_.c_str(), 0755) != 0) {
        base::throw_errno(errno, "mkdir " + path_);
    }
    folder_.reset(::openat(parent_.get(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder_) {
        const int why = errno;
        (void)archive::remove_all(parent_.get(), name_.c_str());
        base::throw_errno(why, "open " + path_);
    }
}

WorkFolder::~WorkFolder() {
    if (const int error = archive::remove_all(parent_.get(), name_.c_str()); error != 0) {
        base::log::warn("remove {}: {}", name_, base::errno_text(error));
    }
}

void WorkFolder::sweep(const std::string& parent) noexcept {
    const base::Fd folder{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    for (const std::string& name : names_in(parent, prefix)) {
        (void)archive::remove_all(folder.get(), name.c_str());
    }
}

StepNote::StepNote(const std::string& parent, const std::string& container_id)
    : path_(parent + "/" + note_prefix + container_id) {
    sys::make_directories(parent, 0700);
    const base::Fd note{::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
    if (!note) base::throw_errno(errno, "open " + path_);
}

StepNote::~StepNote() { (void)::unlink(path_.c_str()); }

void StepNote::settle_all(const std::string& parent,
                          const std::function<void(const std::string& container_id)>& settle) {
    for (const std::string& name : names_in(parent, note_prefix)) {
        settle(name.substr(std::string_view(note_prefix).size()));
        (void)::unlink((parent + "/" + name).c_str());
    }
}

Context::Context(const std::string& parent, const archive::Unpacker& unpacker,
                 const archive::ByteSource& packed)
    : folder_(parent), files_(folder_.fd(), SourceTree::Files::given) {
    try {
        archive::ExtractOptions options;
        options.names_stay_inside = true;
        (void)unpacker.unpack_archive(packed, files_.root(), options);
    } catch (const base::Error& error) {
        // What is wrong with an archive is Docker's failure: 500.
        throw base::Error(base::ErrorKind::internal, error.what(), error.errno_value());
    }
    // Some clients hear nothing before they have sent everything.
    std::vector<char> rest(64 * 1024);
    while (packed(rest) > 0) continue;
}

std::string Context::take_dockerfile(std::string& name) {
    if (name.empty()) name = default_name;
    name = cleaned_source(name);
    if (!files_.look_at(name)) {
        const std::string lower = base::to_lower(name);
        if (name != default_name || !files_.look_at(lower)) {
            base::fail(base::ErrorKind::internal, "Cannot locate specified Dockerfile: " + name);
        }
        name = lower;
    }
    std::string text = files_.read(name, max_dockerfile);
    if (text.empty()) {
        base::fail(base::ErrorKind::invalid_argument,
                   "the Dockerfile (" + name + ") cannot be empty");
    }
    remove_ignored(name);
    return text;
}

void Context::remove_ignored(const std::string& dockerfile) {
    if (!files_.look_at(".dockerignore")) return;
    const auto patterns =
        build::read_ignore_file(base::in_context("error reading .dockerignore", [&] {
            return files_.read(".dockerignore", max_ignore_file);
        }));
    std::optional<build::Ignore> ignore;
    try {
        ignore.emplace(patterns);
    } catch (const base::Error&) {
        return;  // what is no pattern excludes nothing
    }
    for (const std::string& file : {std::string(".dockerignore"), dockerfile}) {
        const std::string path = build::clean_path(file).substr(1);
        if (path.empty() || !ignore->matches(path)) continue;
        const std::string found = files_.resolve(path);
        const auto slash = found.rfind('/');
        const base::Fd folder = sys::try_open_in_root(
            files_.root(), slash == std::string::npos ? "." : found.substr(0, slash),
            O_RDONLY | O_DIRECTORY);
        if (!folder) continue;
        (void)archive::remove_all(folder.get(), found.substr(slash + 1).c_str());
    }
}

}  // namespace dockerd::engine::builds
