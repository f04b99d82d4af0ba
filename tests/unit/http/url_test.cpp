#include <gtest/gtest.h>

#include <dockerd/http/client.hpp>

namespace dockerd::http {
namespace {

std::string refusal(std::string_view text) {
    try {
        (void)Url::parse(text);
    } catch (const base::Error& error) {
        return error.what();
    }
    return {};
}

TEST(Url, IsTakenApart) {
    const Url url = Url::parse("HTTPS://u:p@[::1]:5000/a%20b?q=1#gone");
    EXPECT_EQ(url.scheme, "https");
    EXPECT_EQ(url.user_info, "u:p");
    EXPECT_EQ(url.host, "[::1]:5000");
    EXPECT_EQ(url.host_name(), "::1");
    EXPECT_EQ(url.port(), 5000);
    EXPECT_EQ(url.target(), "/a%20b?q=1");
    EXPECT_EQ(url.text(), "https://u:***@[::1]:5000/a%20b?q=1");
    EXPECT_EQ(Url::parse("http://h").port(), 80);
    EXPECT_EQ(Url::parse("https://h").port(), 443);
    EXPECT_EQ(Url::parse("https://h").target(), "/");
}

TEST(Url, RefusesWhatBreaksARequest) {
    EXPECT_EQ(refusal("no-scheme"), "parse \"no-scheme\": missing protocol scheme");
    EXPECT_EQ(refusal("http://a\r\nb"),
              "parse \"http://a\\r\\nb\": net/url: invalid control character in URL");
    EXPECT_EQ(refusal("http://h:99999/"),
              "parse \"http://h:99999/\": invalid port \":99999\" after host");
    EXPECT_EQ(refusal("http://a b/"), "parse \"http://a b/\": invalid character in host name");
}

TEST(Url, ResolvesWhatARedirectSays) {
    const Url base = Url::parse("https://h/v2/x/manifests/latest?a=1");
    EXPECT_EQ(base.resolve("/y?b").text(), "https://h/y?b");
    EXPECT_EQ(base.resolve("http://o/z").text(), "http://o/z");
    EXPECT_EQ(base.resolve("//o/z").text(), "https://o/z");
    EXPECT_EQ(base.resolve("../tags/./list").text(), "https://h/v2/x/tags/list");
    EXPECT_EQ(base.resolve("?c").text(), "https://h/v2/x/manifests/latest?c");
    EXPECT_EQ(base.resolve("/../../up").text(), "https://h/up");
}

TEST(Url, OriginIsSchemeNameAndPort) {
    const Url url = Url::parse("https://H/x");
    EXPECT_TRUE(url.same_origin(Url::parse("https://h:443/y")));
    EXPECT_FALSE(url.same_origin(Url::parse("http://h:443/y")));
    EXPECT_FALSE(url.same_origin(Url::parse("https://h:444/y")));
    EXPECT_FALSE(url.same_origin(Url::parse("https://h.x/y")));
}

// Source: Go net/http/httpproxy, the cases of its tests.
TEST(Proxy, IsLeftOutForWhatIsExcepted) {
    ProxyOptions options{.http_proxy = "p:1", .https_proxy = "http://q:2", .no_proxy = {}};
    const auto used = [&](const char* url, const std::string& except) {
        options.no_proxy = except;
        const auto proxy = proxy_for(Url::parse(url), options);
        return proxy ? proxy->text() : "";
    };
    EXPECT_EQ(used("http://h/", ""), "http://p:1");
    EXPECT_EQ(used("https://h/", ""), "http://q:2");
    EXPECT_EQ(used("http://localhost/", ""), "");
    EXPECT_EQ(used("http://127.0.0.1:5000/", ""), "");
    EXPECT_EQ(used("http://[::1]/", ""), "");
    EXPECT_EQ(used("http://h.example/", "example"), "");
    EXPECT_EQ(used("http://hexample/", "example"), "http://p:1");
    EXPECT_EQ(used("http://example/", ".example"), "http://p:1");
    EXPECT_EQ(used("http://h.example/", "*.example"), "");
    EXPECT_EQ(used("http://h.example:8080/", "x, h.example:8080"), "");
    EXPECT_EQ(used("http://h.example/", "h.example:8080"), "http://p:1");
    EXPECT_EQ(used("http://10.1.2.3/", "10.0.0.0/8"), "");
    EXPECT_EQ(used("http://11.1.2.3/", "10.0.0.0/8"), "http://p:1");
    EXPECT_EQ(used("http://h/", "*"), "");
}

TEST(QueryEscape, IsGos) { EXPECT_EQ(query_escape("a b/c:d~"), "a+b%2Fc%3Ad~"); }

}  // namespace
}  // namespace dockerd::http
