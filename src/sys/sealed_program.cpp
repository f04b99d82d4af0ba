#include <dockerd/sys/sealed_program.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/sys/seals.hpp>

namespace dockerd::sys {

base::Fd sealed_program(const char* name, std::string_view bytes) {
    const std::string_view whole = bytes;
    const auto fail = [name](const char* call) {
        base::throw_errno(errno, std::string(name) + ": " + call);
    };
    base::Fd file{::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!file) fail("memfd_create");
    while (!bytes.empty()) {
        const ssize_t n = ::write(file.get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail("write");
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    // Read once: an idle daemon need not hold these pages. Should they be needed again, the kernel
    // reads them from the file anew.
    (void)::madvise(const_cast<char*>(whole.data()), whole.size(), MADV_DONTNEED);
    constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (::fchmod(file.get(), 0500) != 0 || !add_seals(file.get(), seals)) {
        fail("seal");
    }
    return file;
}

base::Fd own_program() {
    base::Fd program{::open("/proc/self/exe", O_PATH | O_CLOEXEC)};
    if (!program) base::throw_errno(errno, "open /proc/self/exe");
    return program;
}

}  // namespace dockerd::sys
