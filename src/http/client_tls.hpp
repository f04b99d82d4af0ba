#pragma once

#include <openssl/ssl.h>

#include <string>

namespace dockerd::http {

/// Tells a new session whom it talks to: the name sent and checked.
void prepare_for_server(SSL* ssl, const std::string& name);
/// Why the server's certificate was not taken, in the words of Go's crypto/x509.
std::string verify_failure(SSL* ssl, long result);
/// What OpenSSL's queue says of a failed handshake, in Go's words where it has some.
std::string handshake_failure();
/// Whether the server closed the connection without a close_notify, as many do.
bool is_truncation(SSL* ssl, int result);

}  // namespace dockerd::http
