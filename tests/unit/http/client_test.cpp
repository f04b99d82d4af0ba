#include <dockerd/http/client.hpp>

#include <gtest/gtest.h>

namespace dockerd::http {
namespace {

// A TLS session within another one is not there, and must not be begun.
TEST(Client, RefusesHttpsThroughAProxyOfHttps) {
    ClientOptions options;
    options.proxy.https_proxy = "https://user:secret@proxy.invalid:3128";
    const Client client(options, std::make_shared<base::Cancellation>());
    ClientRequest request;
    request.url = Url::parse("https://registry.invalid/v2/");
    try {
        (void)client.send(request);
        FAIL() << "sent";
    } catch (const ClientError& error) {
        EXPECT_STREQ(error.what(),
                     "Get \"https://registry.invalid/v2/\": proxyconnect tcp: https through the proxy "
                     "proxy.invalid:3128, itself reached by https, is not supported");
    }
}

}  // namespace
}  // namespace dockerd::http
