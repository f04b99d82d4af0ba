// What the standard library calls when something impossible happens. Its own versions throw, and
// with that bring exceptions, locale and half a megabyte of code into a program that has no use
// for them. Only linked into the launcher.

#if !defined(__cpp_exceptions)

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

void* operator new(std::size_t size) {
    void* memory = std::malloc(size == 0 ? 1 : size);
    if (memory == nullptr) std::abort();
    return memory;
}
void* operator new[](std::size_t size) { return ::operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

extern "C" void __cxa_pure_virtual() { std::abort(); }

#endif
