#include <dockerd/logging/drivers.hpp>

#include <gtest/gtest.h>

#include <functional>

#include <dockerd/base/error.hpp>

namespace dockerd::logging {
namespace {

std::string error_of(const std::function<void()>& body) {
    try {
        body();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "no error";
}

std::string refusal(const std::string& driver, const Options& options) {
    return error_of([&] { validate_options(driver, options); });
}

// Every text here is what Docker 28.2.2 answered to the same options.
TEST(LogOptions, AreRefusedInDockersWords) {
    EXPECT_EQ(refusal("json-file", {{"foo", "1"}}),
              "unknown log opt 'foo' for json-file log driver");
    EXPECT_EQ(refusal("local", {{"foo", "1"}}), "unknown log opt 'foo' for log driver local");
    EXPECT_EQ(refusal("fluentd", {{"foo", "1"}}), "unknown log opt 'foo' for fluentd log driver");
    EXPECT_EQ(refusal("journald", {{"foo", "1"}}), "unknown log opt 'foo' for journald log driver");
    EXPECT_EQ(refusal("gelf", {{"gelf-address", "tcp://127.0.0.1:1"}, {"foo", "1"}}),
              "unknown log opt \"foo\" for gelf log driver");
    EXPECT_EQ(refusal("nope", {}),
              "error looking up logging plugin nope: plugin \"nope\" not found");
    EXPECT_EQ(refusal("splunk", {{"splunk-host", "h"}}),
              "unknown log opt 'splunk-host' for splunk log driver");
    EXPECT_EQ(refusal("awslogs", {{"awslogs-group", "g"}}),
              "error looking up logging plugin awslogs: plugin \"awslogs\" not found");
    EXPECT_EQ(refusal("none", {{"anything", "goes"}}), "no error");
}

TEST(LogOptions, CommonOnesAreChecked) {
    EXPECT_EQ(refusal("json-file", {{"mode", "x"}}), "logger: logging mode not supported: x");
    EXPECT_EQ(refusal("json-file", {{"max-buffer-size", "1m"}}),
              "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    EXPECT_EQ(refusal("json-file", {{"mode", "non-blocking"}, {"max-buffer-size", "z"}}),
              "error parsing option max-buffer-size: invalid size: 'z'");
    EXPECT_EQ(refusal("json-file", {{"cache-disabled", "q"}}),
              "invalid value for option cache-disabled: q");
    EXPECT_EQ(refusal("json-file", {{"cache-max-size", "q"}}), "no error");
}

TEST(LogOptions, SyslogAddresses) {
    const auto with = [](const char* address) {
        return refusal("syslog", {{"syslog-address", address}});
    };
    EXPECT_EQ(with("http://x"), "unsupported scheme: 'http'");
    EXPECT_EQ(with("unix:///nope"), "stat /nope: no such file or directory");
    EXPECT_EQ(with("tcp://127.0.0.1:a"),
              "parse \"tcp://127.0.0.1:a\": invalid port \":a\" after host");
    EXPECT_EQ(with("tcp://[::1"), "parse \"tcp://[::1\": missing ']' in host");
    EXPECT_EQ(with("127.0.0.1:1"),
              "parse \"127.0.0.1:1\": first path segment in URL cannot contain colon");
    EXPECT_EQ(with("udp://log.example"), "no error");
    EXPECT_EQ(refusal("syslog", {{"syslog-facility", "q"}}), "invalid syslog facility");
    EXPECT_EQ(refusal("syslog", {{"syslog-facility", "24"}}), "invalid syslog facility");
    EXPECT_EQ(refusal("syslog", {{"syslog-facility", "local7"}}), "no error");
    EXPECT_EQ(refusal("syslog", {{"syslog-format", "q"}}), "Invalid syslog format");
}

TEST(LogOptions, Fluentd) {
    const auto with = [](const char* key, const char* value) {
        return refusal("fluentd", {{std::string("fluentd-") + key, value}});
    };
    EXPECT_EQ(with("address", "http://x"),
              "invalid fluentd-address (http://x): unsupported scheme: 'http'");
    EXPECT_EQ(with("address", "tcp://x/y"),
              "invalid fluentd-address (tcp://x/y): should not contain a path element");
    EXPECT_EQ(with("address", "unix://"), "invalid fluentd-address (unix://): path is empty");
    EXPECT_EQ(with("address", "x:99999"),
              "invalid fluentd-address (x:99999): invalid port: strconv.ParseUint: parsing "
              "\"99999\": value out of range");
    EXPECT_EQ(with("buffer-limit", "x"), "invalid size: 'x'");
    EXPECT_EQ(with("retry-wait", "x"), "time: invalid duration \"x\"");
    EXPECT_EQ(with("max-retries", "x"), "strconv.ParseUint: parsing \"x\": invalid syntax");
    EXPECT_EQ(with("async", "x"), "strconv.ParseBool: parsing \"x\": invalid syntax");
    EXPECT_EQ(with("async-reconnect-interval", "1ms"),
              "invalid value for fluentd-async-reconnect-interval: value (\"1ms\") must be between "
              "100ms and 10s");
    EXPECT_EQ(with("write-timeout", "x"),
              "invalid value for fluentd-write-timeout: value must be a duration: time: invalid "
              "duration \"x\"");
    EXPECT_EQ(with("write-timeout", "-1s"),
              "invalid value for fluentd-write-timeout: value must be a duration that is "
              "non-negative");
}

TEST(LogOptions, Gelf) {
    EXPECT_EQ(refusal("gelf", {}), "gelf-address is a required parameter");
    EXPECT_EQ(refusal("gelf", {{"gelf-address", "udp://x"}}),
              "gelf: please provide gelf-address as proto://host:port");
    EXPECT_EQ(refusal("gelf", {{"gelf-address", "http://x:1"}}),
              "gelf: endpoint needs to be TCP or UDP");
    const auto with = [](const char* network, const char* key, const char* value) {
        return refusal("gelf",
                       {{"gelf-address", std::string(network) + "://127.0.0.1:1"}, {key, value}});
    };
    EXPECT_EQ(with("udp", "gelf-compression-level", "10"),
              "unknown value \"10\" for log opt \"gelf-compression-level\" for gelf log driver");
    EXPECT_EQ(with("tcp", "gelf-compression-level", "1"), "compression is only supported on UDP");
    EXPECT_EQ(with("udp", "gelf-tcp-max-reconnect", "1"),
              "\"gelf-tcp-max-reconnect\" is only valid for TCP");
    EXPECT_EQ(with("tcp", "gelf-tcp-max-reconnect", "-1"),
              "\"gelf-tcp-max-reconnect\" must be a positive integer");
}

TEST(LogOptions, FilesAreCheckedAtTheStart) {
    const auto json = [](const Options& options) {
        return error_of([&] { (void)file_settings("json-file", options); });
    };
    EXPECT_EQ(json({{"max-size", "x"}}), "invalid size: 'x'");
    EXPECT_EQ(json({{"max-size", "-1"}}), "invalid size: '-1'");
    EXPECT_EQ(json({{"max-size", "0"}}), "max-size must be a positive number");
    EXPECT_EQ(json({{"max-size", "10q"}}), "invalid suffix: 'q'");
    EXPECT_EQ(json({{"max-file", "0"}}), "max-file cannot be less than 1");
    EXPECT_EQ(json({{"max-file", "a"}}), "strconv.Atoi: parsing \"a\": invalid syntax");
    EXPECT_EQ(json({{"compress", "maybe"}}),
              "strconv.ParseBool: parsing \"maybe\": invalid syntax");
    EXPECT_EQ(json({{"compress", "true"}}),
              "compress cannot be true when max-file is less than 2 or max-size is not set");
    const auto local = [](const Options& options) {
        return error_of([&] { (void)file_settings("local", options); });
    };
    EXPECT_EQ(local({{"max-size", "y"}}), "invalid value for max-size: y: invalid size: 'y'");
    EXPECT_EQ(local({{"max-file", "q"}}),
              "invalid value for max-file: q: strconv.Atoi: parsing \"q\": invalid syntax");
    EXPECT_EQ(local({{"max-file", "1"}}), "compression cannot be enabled when max file count is 1");
    EXPECT_EQ(
        local({{"compress", "q"}}),
        "error reading compress log option: strconv.ParseBool: parsing \"q\": invalid syntax");
}

TEST(LogOptions, DefaultsAreDockers) {
    const auto json = file_settings("json-file", {{"max-size", "10m"}, {"max-file", "3"}});
    EXPECT_EQ(json.max_size, 10'000'000);  // powers of 1000 here
    EXPECT_EQ(json.max_files, 3);
    EXPECT_FALSE(json.compress);
    const auto local = file_settings("local", {});
    EXPECT_EQ(local.max_size, 20 * 1024 * 1024);
    EXPECT_EQ(local.max_files, 5);
    EXPECT_TRUE(local.compress);
    EXPECT_EQ(cache_settings({{"cache-max-size", "1k"}, {"cache-max-file", "2"}}).max_size, 1000);
    EXPECT_EQ(cache_settings({{"cache-max-size", "bad"}}).max_size, 20 * 1024 * 1024);
    EXPECT_EQ(ring_size({}), -1);
    EXPECT_EQ(ring_size({{"mode", "non-blocking"}}), 1'000'000);
    EXPECT_EQ(ring_size({{"mode", "non-blocking"}, {"max-buffer-size", "4k"}}), 4096);
}

TEST(LogOptions, TheDaemonsOwnApplyToItsDriver) {
    Options own{{"max-size", "1m"}};
    const Options defaults{{"max-size", "2m"}, {"max-file", "3"}, {"cache-disabled", "true"}};
    merge_defaults("json-file", own, "json-file", defaults);
    EXPECT_EQ(own, (Options{{"max-size", "1m"}, {"max-file", "3"}, {"cache-disabled", "true"}}));
    Options other;
    merge_defaults("syslog", other, "json-file", defaults);
    EXPECT_EQ(other, (Options{{"cache-disabled", "true"}}));
}

}  // namespace
}  // namespace dockerd::logging
