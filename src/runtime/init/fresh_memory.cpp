#include "init/memory.hpp"

#include <dockerd/base/fd.hpp>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

// Where the linker puts the program's own head.
extern "C" const ElfW(Ehdr) __ehdr_start;

namespace dockerd::runtime::init {

namespace {

constexpr std::uintptr_t page = 4096;
constexpr std::uintptr_t stack_size = 64 * page;

struct Range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
};

/// The memory of this process that /proc calls `name`, a few pieces at most.
std::array<Range, 8> find_mappings(std::string_view name) {
    std::array<Range, 8> found{};
    const base::Fd maps{::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
    std::array<char, 16 * 1024> text{};
    std::size_t size = 0;
    for (ssize_t n = 1; n > 0 && size < text.size(); size += static_cast<std::size_t>(n)) {
        n = ::read(maps.get(), text.data() + size, text.size() - size);
        if (n < 0) return found;
    }
    std::string_view rest(text.data(), size);
    auto next = found.begin();
    while (!rest.empty() && next != found.end()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (!line.ends_with(name)) continue;
        Range range;
        const char* last = line.data() + line.size();
        const char* dash = std::from_chars(line.data(), last, range.begin, 16).ptr;
        if (dash == last) continue;
        if (std::from_chars(dash + 1, last, range.end, 16).ec == std::errc{}) *next++ = range;
    }
    return found;
}

/// Puts a copy of the memory into its place. Nothing may write to it meanwhile.
void renew(Range range) {
    const std::size_t size = range.end - range.begin;
    void* const copy =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) return;  // it is only slower
    static constexpr std::array<char, page> nothing{};
    for (std::size_t at = 0; at < size; at += page) {
        const auto* from = reinterpret_cast<const char*>(range.begin + at);
        if (std::memcmp(from, nothing.data(), page) != 0) {
            std::memcpy(static_cast<char*>(copy) + at, from, page);
        }
    }
    if (::mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
                 reinterpret_cast<void*>(range.begin)) == MAP_FAILED) {
        (void)::munmap(copy, size);
    }
}

/// What of the program can be written, or could until it was relocated. Parts that lie side by side
/// are one, for the kernel then has one to copy.
void renew_data() {
    const auto* const head = reinterpret_cast<const char*>(&__ehdr_start);
    const auto* const parts = reinterpret_cast<const ElfW(Phdr)*>(head + __ehdr_start.e_phoff);
    const auto begin = reinterpret_cast<std::uintptr_t>(head);  // of a program that lies anywhere
    Range data;
    Range fixed;
    for (std::size_t i = 0; i < __ehdr_start.e_phnum; ++i) {
        const ElfW(Phdr)& part = parts[i];
        const Range range{(begin + part.p_vaddr) & ~(page - 1),
                          (begin + part.p_vaddr + part.p_memsz + page - 1) & ~(page - 1)};
        if (part.p_type == PT_GNU_RELRO) fixed = {range.begin, (begin + part.p_vaddr + part.p_memsz) & ~(page - 1)};
        if (part.p_type != PT_LOAD || (part.p_flags & PF_W) == 0) continue;
        if (data.end != range.begin) {
            if (data.begin != data.end) renew(data);
            data.begin = range.begin;
        }
        data.end = range.end;
    }
    if (data.begin != data.end) renew(data);
    if (fixed.begin < fixed.end) {
        (void)::mprotect(reinterpret_cast<void*>(fixed.begin), fixed.end - fixed.begin, PROT_READ);
    }
}

#if !defined(__SANITIZE_ADDRESS__)
struct Entry {
    void (*function)(void*);
    void* argument;
} entry;

void enter() { entry.function(entry.argument); }
#endif

}  // namespace

void run_on_own_stack(void (*function)(void*), void* argument) {
#if !defined(__SANITIZE_ADDRESS__)
    void* const memory = ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    const Range old = find_mappings("[stack]").front();
    static ucontext_t context;
    if (memory != MAP_FAILED && old.begin != old.end && ::getcontext(&context) == 0) {
        // Its last page stops what runs over.
        (void)::mprotect(memory, page, PROT_NONE);
        (void)::madvise(reinterpret_cast<void*>(old.begin), old.end - old.begin, MADV_DONTFORK);
        entry = {function, argument};
        context.uc_stack.ss_sp = memory;
        context.uc_stack.ss_size = stack_size;
        context.uc_link = nullptr;
        ::makecontext(&context, enter, 0);
        (void)::setcontext(&context);
    }
#endif
    function(argument);
    ::_exit(1);
}

void part_from_parent() {
    const auto thread = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
    for (Range heap : find_mappings("[heap]")) {
        // In a static program it begins with what belongs to the thread, which stays.
        if (thread >= heap.begin && thread < heap.end) {
            const Range own{heap.begin, std::min((thread + 2 * page) & ~(page - 1), heap.end)};
            renew(own);
            heap.begin = own.end;
        }
        if (heap.begin == heap.end) continue;
        (void)::munmap(reinterpret_cast<void*>(heap.begin), heap.end - heap.begin);  // as above
    }
    renew_data();
}

}  // namespace dockerd::runtime::init
