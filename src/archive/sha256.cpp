#include <openssl/evp.h>

#include <array>
#include <new>

#include <dockerd/archive/stream.hpp>

namespace dockerd::archive {
namespace {

/// Fetching the algorithm takes a lock and a search; once is enough.
const EVP_MD* algorithm() {
    static const EVP_MD* const md = ::EVP_MD_fetch(nullptr, "SHA256", nullptr);
    return md;
}

}  // namespace

struct Sha256::Context {
    EVP_MD_CTX* evp = ::EVP_MD_CTX_new();
    Context() {
        if (evp == nullptr || ::EVP_DigestInit_ex2(evp, algorithm(), nullptr) != 1) {
            throw std::bad_alloc();
        }
    }
    ~Context() { ::EVP_MD_CTX_free(evp); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
    // Cannot fail for an initialised digest context.
    (void)::EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
}

std::string Sha256::hex() {
    std::array<unsigned char, 32> raw{};
    (void)::EVP_DigestFinal_ex(context_->evp, raw.data(), nullptr);
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(64);
    for (const unsigned char byte : raw) {
        out += digits[byte >> 4U];
        out += digits[byte & 15U];
    }
    return out;
}

std::string sha256_digest(std::string_view bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.digest();
}

}  // namespace dockerd::archive
