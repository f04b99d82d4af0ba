// What the standard library calls when something impossible happens. Its own versions throw, and
// with that bring exceptions, locale and half a megabyte of code into a program that has no use
// for them. Only linked into the launcher.

#if defined(__cpp_exceptions)

namespace dockerd::runtime::init {

bool take_own_memory() { return false; }
void keep_own_memory() {}
void reuse_own_memory() {}

}  // namespace dockerd::runtime::init

#else

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

namespace std {

void __throw_length_error(const char*) { ::abort(); }
void __throw_logic_error(const char*) { ::abort(); }
void __throw_out_of_range(const char*) { ::abort(); }
void __throw_out_of_range_fmt(const char*, ...) { ::abort(); }
void __throw_bad_alloc() { ::abort(); }
void __throw_bad_array_new_length() { ::abort(); }
void __throw_bad_function_call() { ::abort(); }

}  // namespace std

namespace dockerd::runtime::init {

namespace {

/// Memory that is given out from one end to the other, and taken back all at once.
class OwnMemory {
public:
    [[nodiscard]] bool taken() const { return taken_; }
    void take() { taken_ = true; }

    void* allocate(std::size_t size) {
        size = (size + alignment - 1) & ~(alignment - 1);
        if (size <= sizeof area_ - used_) {
            void* memory = area_ + used_;
            used_ += size;
            return memory;
        }
        size += sizeof(Piece);
        void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        auto* piece = static_cast<Piece*>(memory);
        piece->next = pieces_;
        piece->size = size;
        pieces_ = piece;
        return piece + 1;
    }

    void reuse() {
        while (pieces_ != nullptr) {
            Piece* piece = pieces_;
            pieces_ = piece->next;
            (void)::munmap(piece, piece->size);  // it was mapped like this
        }
        // What most requests do not need is given back.
        const std::size_t usual_size = (kept_ + 8 * page) & ~(page - 1);
        if (used_ > usual_size && usual_size < sizeof area_) {
            (void)::madvise(area_ + usual_size, sizeof area_ - usual_size, MADV_DONTNEED);
        }
        used_ = kept_;
    }
    void keep() {
        kept_ = used_;
        pieces_ = nullptr;
    }

private:
    static constexpr std::size_t alignment = 16;
    static constexpr std::size_t page = 4096;
    /// What does not fit into the area.
    struct alignas(alignment) Piece {
        Piece* next;
        std::size_t size;
    };

    alignas(page) char area_[64 * page];
    std::size_t used_;
    std::size_t kept_;
    Piece* pieces_;
    bool taken_;
};

// Without a constructor: it is all zero, and costs nothing until it is used.
OwnMemory own_memory;

}  // namespace

bool take_own_memory() {
#if !defined(__SANITIZE_ADDRESS__)
    own_memory.take();
#endif
    return own_memory.taken();
}
void keep_own_memory() { own_memory.keep(); }
void reuse_own_memory() { own_memory.reuse(); }

}  // namespace dockerd::runtime::init

void* operator new(std::size_t size) {
    using dockerd::runtime::init::own_memory;
    if (own_memory.taken()) return own_memory.allocate(size);
    void* memory = std::malloc(size == 0 ? 1 : size);
    if (memory == nullptr) std::abort();
    return memory;
}
void* operator new[](std::size_t size) { return ::operator new(size); }
void operator delete(void* memory) noexcept {
    if (!dockerd::runtime::init::own_memory.taken()) std::free(memory);
}
void operator delete[](void* memory) noexcept { ::operator delete(memory); }
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
void operator delete[](void* memory, std::size_t) noexcept { ::operator delete(memory); }

extern "C" void __cxa_pure_virtual() { std::abort(); }

#endif
