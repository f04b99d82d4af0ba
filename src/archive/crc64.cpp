#include <dockerd/archive/crc64.hpp>

#include <array>

#ifdef DOCKERD_HAVE_ISAL
#include <isa-l/crc64.h>
#endif

namespace dockerd::archive {
namespace {

constexpr std::uint64_t polynomial = 0xd800'0000'0000'0000ULL;

constexpr std::array<std::uint64_t, 256> make_table() {
    std::array<std::uint64_t, 256> table{};
    for (std::uint64_t i = 0; i < table.size(); ++i) {
        std::uint64_t value = i;
        for (int bit = 0; bit < 8; ++bit)
            value = value >> 1U ^ ((value & 1U) != 0 ? polynomial : 0);
        table[i] = value;
    }
    return table;
}

constexpr std::array<std::uint64_t, 256> table = make_table();

std::uint64_t by_table(std::uint64_t crc, std::string_view bytes) {
    crc = ~crc;
    for (const char c : bytes) {
        crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xffU] ^ crc >> 8U;
    }
    return ~crc;
}

}  // namespace

#ifdef DOCKERD_HAVE_ISAL

std::uint64_t crc64_iso(std::uint64_t crc, std::string_view bytes) {
#ifdef __x86_64__
    // ISA-L 2.30 multiplies without carry wherever SSE 4.2 is, also on the processors (Nehalem,
    // and guests without the flag) that have no such instruction.
    static const bool multiplies = __builtin_cpu_supports("pclmul") != 0;
    if (!multiplies) return by_table(crc, bytes);
#endif
    return ::crc64_iso_refl(crc, reinterpret_cast<const unsigned char*>(bytes.data()),
                            bytes.size());
}

#else

std::uint64_t crc64_iso(std::uint64_t crc, std::string_view bytes) { return by_table(crc, bytes); }

#endif

std::string crc64_bytes(std::uint64_t sum) {
    std::string out(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(sum >> (56U - 8 * i) & 0xffU);
    return out;
}

}  // namespace dockerd::archive
