#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

#include "engine/containers/image_config.hpp"
#include "engine/containers/mount_parser.hpp"
#include "engine/containers/names.hpp"
#include "engine/containers/signals.hpp"
#include "engine/containers/validate.hpp"

using namespace dockerd;
using namespace dockerd::engine;

namespace {

template <typename Action>
std::string error_of(Action action) {
    try {
        action();
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument) << error.what();
        return error.what();
    }
    return "accepted";
}

}  // namespace

TEST(CheckedName, TakesDockersNamesOnly) {
    EXPECT_EQ(checked_name("/web-1.x_y"), "web-1.x_y");
    for (const char* bad : {"", "/", "a", "-ab", "a b", "a/b", "\xc3\xa9t\xc3\xa9"}) {
        EXPECT_EQ(error_of([&] { (void)checked_name(bad); }),
                  std::string("Invalid container name (") + bad +
                      "), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
    }
}

TEST(GenerateName, HasTheFormClientsKnow) {
    for (int i = 0; i < 100; ++i) {
        const std::string name = generate_name();
        EXPECT_EQ(checked_name(name), name);
        EXPECT_NE(name.find('_'), std::string::npos);
    }
}

TEST(ParseSignal, ReadsNumbersNamesAndRealTime) {
    EXPECT_EQ(parse_signal("9"), 9);
    EXPECT_EQ(parse_signal("KILL"), 9);
    EXPECT_EQ(parse_signal("sigterm"), 15);
    EXPECT_EQ(parse_signal("RTMIN+3"), 37);
    EXPECT_EQ(parse_signal("SIGRTMAX-1"), 63);
    for (const char* bad : {"0", "NOPE", "", "SIG", "RTMIN+16"}) {
        EXPECT_EQ(error_of([&] { (void)parse_signal(bad); }),
                  std::string("invalid signal: ") + bad);
    }
}

TEST(ParseBind, ReadsEveryForm) {
    const auto bind = parse_bind("/host/./dir:/in:ro,rslave", "");
    EXPECT_EQ(bind.type, "bind");
    EXPECT_EQ(bind.source, "/host/dir");
    EXPECT_EQ(bind.destination, "/in");
    EXPECT_FALSE(bind.rw);
    EXPECT_EQ(bind.propagation, "rslave");
    EXPECT_EQ(bind.mode, "ro,rslave");

    const auto volume = parse_bind("data:/var/lib/x", "");
    EXPECT_EQ(volume.type, "volume");
    EXPECT_EQ(volume.name, "data");
    EXPECT_TRUE(volume.rw);
    EXPECT_EQ(parse_bind("data:/x:nocopy", "").spec.volume_options->no_copy, true);
}

TEST(ParseBind, RefusesWhatDockerRefuses) {
    const auto error = [](const char* text) {
        return error_of([&] { (void)parse_bind(text, ""); });
    };
    EXPECT_EQ(error(":/x"), "invalid volume specification: ':/x'");
    EXPECT_EQ(error("/foo:rw"), "invalid volume specification: '/foo:rw'");
    EXPECT_EQ(error("/a:/b:ro:z"), "invalid volume specification: '/a:/b:ro:z'");
    EXPECT_EQ(error("/a:/b:bogus"), "invalid mode: bogus");
    EXPECT_EQ(error("/a:/b:ro,rw"), "invalid mode: ro,rw");
    EXPECT_EQ(error("/a:/"),
              "invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
              "invalid specification: destination can't be '/'");
    EXPECT_EQ(error("/a:b"),
              "invalid volume specification: '/a:b': invalid mount config for type \"bind\": "
              "invalid mount path: 'b' mount path must be absolute");
}

TEST(ValidateMount, NamesTheFieldThatIsWrong) {
    const auto error = [](const model::Mount& mount) {
        return error_of([&] { validate_mount(mount, CheckSource::yes); });
    };
    EXPECT_EQ(error({.type = "bind", .source = "/nope/at/all", .target = "/x"}),
              "invalid mount config for type \"bind\": bind source path does not exist: "
              "/nope/at/all");
    EXPECT_EQ(error({.type = "bind", .target = "/x"}),
              "invalid mount config for type \"bind\": field Source must not be empty");
    EXPECT_EQ(error({.type = "tmpfs", .source = "/y", .target = "/x"}),
              "invalid mount config for type \"tmpfs\": field Source must not be specified");
    EXPECT_EQ(error({.type = "nope", .target = "/x"}),
              "invalid mount config for type \"nope\": mount type unknown");
    EXPECT_EQ(error({.type = "volume"}),
              "invalid mount config for type \"volume\": field Target must not be empty");
}

TEST(ValidateConfig, CleansAndChecks) {
    model::ContainerConfig config;
    config.working_dir = "/a/../b/";
    validate_config(config);
    EXPECT_EQ(config.working_dir, "/b");
    config.working_dir = "rel";
    EXPECT_EQ(error_of([&] { validate_config(config); }),
              "the working directory 'rel' is invalid, it needs to be an absolute path");
    config.working_dir.clear();
    config.env = {"=x"};
    EXPECT_EQ(error_of([&] { validate_config(config); }), "invalid environment variable: =x");
}

TEST(ValidateRestartPolicy, AllowsACountOnlyOnFailure) {
    EXPECT_EQ(error_of([] {
                  validate_restart_policy({"always", 3});
              }),
              "invalid restart policy: maximum retry count can only be used with 'on-failure'");
    EXPECT_EQ(error_of([] {
                  validate_restart_policy({"on-failure", -1});
              }),
              "invalid restart policy: maximum retry count cannot be negative");
    EXPECT_EQ(error_of([] {
                  validate_restart_policy({"foobar", 0});
              }),
              "invalid restart policy: unknown policy 'foobar'; use one of 'no', 'always', "
              "'on-failure', or 'unless-stopped'");
    validate_restart_policy({"on-failure", 3});
    validate_restart_policy({"unless-stopped", 0});
}

TEST(CheckLogConfig, KnowsDriversAndTheirOptions) {
    model::LogConfig config;
    model::StringMap defaults;
    defaults["max-size"] = "10m";
    check_log_config(config, "json-file", defaults);
    EXPECT_EQ(config.type, "json-file");
    EXPECT_EQ(config.config.at("max-size"), "10m");
    model::LogConfig unknown{.type = "nope", .config = {}};
    EXPECT_EQ(error_of([&] { check_log_config(unknown, "json-file", {}); }),
              "error looking up logging plugin nope: plugin \"nope\" not found");
    model::LogConfig bad{.type = "json-file", .config = {}};
    bad.config["bogus"] = "1";
    EXPECT_EQ(error_of([&] { check_log_config(bad, "json-file", {}); }),
              "unknown log opt 'bogus' for json-file log driver");
}

TEST(MergeImageConfig, TheRequestWins) {
    model::ContainerConfig own;
    own.env = {"A=1"};
    own.cmd = {};
    model::ContainerConfig image;
    image.env = {"A=0", "B=2"};
    image.cmd.push_back("sh");
    image.entrypoint.push_back("/init");
    image.working_dir = "/w";
    merge_image_config(own, image);
    EXPECT_EQ(own.env, (model::Strings{"A=1", "B=2"}));
    EXPECT_EQ(own.cmd.front(), "sh");
    EXPECT_EQ(own.entrypoint.front(), "/init");
    EXPECT_EQ(own.working_dir, "/w");

    model::ContainerConfig overridden;
    overridden.entrypoint.push_back("/mine");
    merge_image_config(overridden, image);
    EXPECT_TRUE(overridden.cmd.empty()) << "an own entrypoint drops the image's command";
}

TEST(CleanPath, IsGos) {
    EXPECT_EQ(clean_path("/a//b/./c/.."), "/a/b");
    EXPECT_EQ(clean_path("/../.."), "/");
    EXPECT_EQ(clean_path("a/../.."), "..");
    EXPECT_EQ(clean_path(""), ".");
}
