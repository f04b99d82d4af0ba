#pragma once

#include <openssl/ssl.h>

namespace dockerd::http {

/// The owner of one of OpenSSL's contexts.
class SslContext {
public:
    explicit SslContext(SSL_CTX* raw) : raw_(raw) {}
    SslContext(const SslContext&) = delete;
    SslContext& operator=(const SslContext&) = delete;
    ~SslContext() { ::SSL_CTX_free(raw_); }
    [[nodiscard]] SSL_CTX* get() const { return raw_; }

private:
    SSL_CTX* raw_;
};

}  // namespace dockerd::http
