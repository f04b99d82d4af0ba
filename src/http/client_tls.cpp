#include "client_tls.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <cerrno>
#include <vector>

#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>

#include "client_connection.hpp"

namespace dockerd::http {
namespace {

[[noreturn]] void fail(const std::string& text) {
    throw ClientError(base::ErrorKind::internal, text);
}

std::string openssl_text() {
    const unsigned long code = ::ERR_get_error();
    ::ERR_clear_error();
    const char* const reason = ::ERR_reason_error_string(code);
    return reason ? reason : "unknown error";
}

void check_readable(const std::string& file) {
    if (::access(file.c_str(), R_OK) != 0) {
        fail(fmt::format("open {}: {}", file, base::errno_text(errno)));
    }
}

bool is_address(const std::string& name) {
    std::array<unsigned char, 16> bytes{};
    return ::inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
           ::inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

struct Names {
    std::vector<std::string> dns;
    std::vector<std::string> addresses;
};

Names names_of(X509* certificate) {
    Names out;
    auto* const names = static_cast<GENERAL_NAMES*>(
        ::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            const ASN1_STRING* const text = name->d.dNSName;
            out.dns.emplace_back(reinterpret_cast<const char*>(::ASN1_STRING_get0_data(text)),
                                 static_cast<std::size_t>(::ASN1_STRING_length(text)));
        } else if (name->type == GEN_IPADD) {
            const ASN1_STRING* const bytes = name->d.iPAddress;
            const int length = ::ASN1_STRING_length(bytes);
            if (length != 4 && length != 16) continue;
            std::array<char, INET6_ADDRSTRLEN> text{};
            ::inet_ntop(length == 4 ? AF_INET : AF_INET6,
                        ::ASN1_STRING_get0_data(bytes), text.data(), text.size());
            out.addresses.emplace_back(text.data());
        }
    }
    ::GENERAL_NAMES_free(names);
    return out;
}

/// Source: Go crypto/x509 verify.go, HostnameError.
std::string mismatch(SSL* ssl, const std::string& name) {
    X509* const certificate = ::SSL_get1_peer_certificate(ssl);
    const Names names = certificate ? names_of(certificate) : Names();
    ::X509_free(certificate);
    const bool address = is_address(name);
    if (address && names.addresses.empty()) {
        return fmt::format(
            "x509: cannot validate certificate for {} because it doesn't contain any IP SANs", name);
    }
    const auto& valid = address ? names.addresses : names.dns;
    if (valid.empty()) {
        return fmt::format("x509: certificate is not valid for any names, but wanted to match {}",
                           name);
    }
    return fmt::format("x509: certificate is valid for {}, not {}", base::join(valid, ", "), name);
}

std::string time_text(const ASN1_TIME* time) {
    std::tm parts{};
    if (time == nullptr || ::ASN1_TIME_to_tm(time, &parts) != 1) return "?";
    return base::format_rfc3339_nano(base::WallTime(::timegm(&parts), 0));
}

/// Source: Go crypto/x509 verify.go, isValid.
std::string out_of_time(SSL* ssl, bool over) {
    X509* const certificate = ::SSL_get1_peer_certificate(ssl);
    const std::string limit =
        certificate ? time_text(over ? ::X509_get0_notAfter(certificate)
                                     : ::X509_get0_notBefore(certificate))
                    : "?";
    ::X509_free(certificate);
    const base::WallTime now(base::WallTime::now().seconds(), 0);
    return fmt::format("x509: certificate has expired or is not yet valid: current time {} is {} {}",
                       base::format_rfc3339_nano(now), over ? "after" : "before", limit);
}

}  // namespace

std::shared_ptr<const ClientTls> make_client_tls(const ClientTlsOptions& options) {
    auto tls = std::make_shared<ClientTls>(::SSL_CTX_new(::TLS_client_method()));
    tls->server_name = options.server_name;
    SSL_CTX* const raw = tls->get();
    if (raw == nullptr) fail(openssl_text());
    ::SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    ::SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    ::SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (options.verify) {
        ::SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
        if (options.system_authorities) (void)::SSL_CTX_set_default_verify_paths(raw);
        for (const std::string& file : options.ca_files) {
            check_readable(file);
            // What is no certificate is passed over, as by Go's AppendCertsFromPEM.
            (void)::SSL_CTX_load_verify_file(raw, file.c_str());
        }
    }
    for (const auto& [certificate, key] : options.certificates) {
        check_readable(certificate);
        check_readable(key);
        if (::SSL_CTX_use_certificate_chain_file(raw, certificate.c_str()) != 1 ||
            ::SSL_CTX_use_PrivateKey_file(raw, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
            ::SSL_CTX_check_private_key(raw) != 1) {
            fail(fmt::format("tls: {}: {}", certificate, openssl_text()));
        }
    }
    ::ERR_clear_error();
    return tls;
}

void prepare_for_server(SSL* ssl, const std::string& name) {
    if (is_address(name)) {
        (void)::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), name.c_str());
        return;
    }
    (void)::SSL_set_tlsext_host_name(ssl, name.c_str());
    (void)::SSL_set1_host(ssl, name.c_str());
}

std::string verify_failure(SSL* ssl, long result) {
    std::string why;
    switch (result) {
        case X509_V_ERR_HOSTNAME_MISMATCH:
            why = mismatch(ssl, ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
            break;
        case X509_V_ERR_IP_ADDRESS_MISMATCH: {
            char* const address = ::X509_VERIFY_PARAM_get1_ip_asc(::SSL_get0_param(ssl));
            why = mismatch(ssl, address ? address : "");
            ::OPENSSL_free(address);
            break;
        }
        case X509_V_ERR_CERT_HAS_EXPIRED:
            why = out_of_time(ssl, /*over=*/true);
            break;
        case X509_V_ERR_CERT_NOT_YET_VALID:
            why = out_of_time(ssl, /*over=*/false);
            break;
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
            why = "x509: certificate signed by unknown authority";
            break;
        default:
            why = fmt::format("x509: {}", ::X509_verify_cert_error_string(result));
    }
    return "tls: failed to verify certificate: " + why;
}

std::string handshake_failure() {
    const unsigned long code = ::ERR_peek_error();
    if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ::ERR_clear_error();
        return "EOF";
    }
    if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER) {
        ::ERR_clear_error();
        return "tls: first record does not look like a TLS handshake";
    }
    // An alert of the server's is its reason plus 1000. Source: Go crypto/tls, alert.go.
    if (ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET && ERR_GET_LIB(code) == ERR_LIB_SSL) {
        const int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
        ::ERR_clear_error();
        if (alert == SSL_AD_CERTIFICATE_REQUIRED) return "remote error: tls: certificate required";
        if (alert == SSL_AD_BAD_CERTIFICATE) return "remote error: tls: bad certificate";
        if (alert == SSL_AD_UNKNOWN_CA) return "remote error: tls: unknown certificate authority";
        if (alert == SSL_AD_HANDSHAKE_FAILURE) return "remote error: tls: handshake failure";
        if (alert == SSL_AD_PROTOCOL_VERSION) return "remote error: tls: protocol version not supported";
        return fmt::format("remote error: tls: {}", ::SSL_alert_desc_string_long(alert));
    }
    return "tls: " + openssl_text();
}

bool is_truncation(SSL* ssl, int result) {
    const int reason = ::SSL_get_error(ssl, result);
    if (reason == SSL_ERROR_SYSCALL && errno == 0) return true;
    return reason == SSL_ERROR_SSL &&
           ERR_GET_REASON(::ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

}  // namespace dockerd::http
