#include "notes.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/undo.hpp>
#include <dockerd/store/durable.hpp>

namespace dockerd::store {

void write_note(int directory, const std::string& name, std::string_view content) {
    const std::string temporary = fmt::format(".tmp-{}{}", name, base::random_hex(5));
    const base::Fd file{
        ::openat(directory, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
    if (!file) base::throw_errno(errno, fmt::format("write {}", name));
    base::Undo unlink([&]() noexcept { (void)::unlinkat(directory, temporary.c_str(), 0); });
    archive::fd_sink(file.get())(content);
    if (::renameat(directory, temporary.c_str(), directory, name.c_str()) != 0) {
        base::throw_errno(errno, fmt::format("write {}", name));
    }
    unlink.dismiss();
}

base::Fd open_notes(const std::string& root, const std::string& name) {
    base::Fd there{::open((root + name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (there) return there;
    (void)open_or_make_directory(root, 0700);
    return open_or_make_directory(root + name, 0755);
}

}  // namespace dockerd::store
