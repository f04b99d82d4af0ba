#include "engine/images/changes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/build/expand.hpp>
#include <dockerd/build/glob.hpp>

#include "engine/images/images.hpp"
#include "engine/images/moment.hpp"
#include "engine/images/platform.hpp"

namespace dockerd::engine {
namespace {

using build::expand_word;
using build::matches_pattern;
using testing::ElementsAre;

model::ContainerConfig changed(const std::vector<std::string>& changes,
                               model::ContainerConfig config = {}) {
    apply_changes(config, changes);
    return config;
}

std::string error_of(const std::vector<std::string>& changes) {
    try {
        changed(changes);
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        return error.what();
    }
    return "no error";
}

TEST(Changes, SetCommandAndEntrypointInBothForms) {
    EXPECT_THAT(changed({R"(CMD ["sh", "-c", "a b"])"}).cmd, ElementsAre("sh", "-c", "a b"));
    EXPECT_THAT(changed({"cmd echo $HOME"}).cmd, ElementsAre("/bin/sh", "-c", "echo $HOME"));
    model::ContainerConfig base;
    base.cmd.push_back("old");
    EXPECT_TRUE(changed({R"(ENTRYPOINT ["/x"])"}, base).cmd.empty());
    EXPECT_THAT(changed({R"(CMD ["new"])", R"(ENTRYPOINT ["/x"])"}, base).cmd, ElementsAre("new"));
}

TEST(Changes, SetEnvironmentAndLabels) {
    const auto config = changed({"ENV A=1 B=\"two words\"", "ENV C ${A}/x ${D:-none}", "ENV A=2",
                                 "LABEL k=v \"l m\"='n $A'"});
    EXPECT_THAT(config.env, ElementsAre("A=2", "B=two words", "C=1/x none"));
    EXPECT_EQ(config.labels.at("k"), "v");
    EXPECT_EQ(config.labels.at("l m"), "n $A");
}

TEST(Changes, SetTheRest) {
    const auto config =
        changed({"EXPOSE 80 53/udp 8000-8001", "VOLUME [\"/a\",\"/b\"]", "USER me", "WORKDIR /x",
                 "WORKDIR ../y/.", "STOPSIGNAL SIGINT", "ONBUILD RUN a", "VOLUME /c \\\n /d",
                 "# comment", "HEALTHCHECK --interval=5s --retries=3 CMD curl x"});
    std::vector<std::string> ports;
    for (const auto& [port, none] : config.exposed_ports) ports.push_back(port);
    EXPECT_THAT(ports, ElementsAre("53/udp", "80/tcp", "8000/tcp", "8001/tcp"));
    EXPECT_EQ(config.volumes.size(), 4U);
    EXPECT_EQ(config.user, "me");
    EXPECT_EQ(config.working_dir, "/y");
    EXPECT_EQ(config.stop_signal, "SIGINT");
    EXPECT_THAT(config.on_build, ElementsAre("RUN a"));
    EXPECT_THAT(config.healthcheck->test, ElementsAre("CMD-SHELL", "curl x"));
    EXPECT_EQ(config.healthcheck->interval, 5'000'000'000);
    EXPECT_EQ(config.healthcheck->retries, 3);
    EXPECT_THAT(changed({"HEALTHCHECK NONE"}).healthcheck->test, ElementsAre("NONE"));
}

TEST(Changes, RefuseOtherInstructions) {
    EXPECT_EQ(error_of({"FROM x"}), "FROM is not a valid change command");
    EXPECT_EQ(error_of({"ENV"}), "ENV requires at least one argument");
    EXPECT_EQ(error_of({"ENV A"}), "ENV must have two arguments");
    EXPECT_EQ(error_of({"LABEL a=b c"}),
              "Syntax error - can't find = in \"c\". Must be of the form: name=value");
    EXPECT_EQ(error_of({"ONBUILD ONBUILD RUN x"}),
              "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    EXPECT_EQ(error_of({"EXPOSE 80/xyz"}), "invalid proto: xyz");
    EXPECT_EQ(error_of({"STOPSIGNAL NOPE"}), "invalid signal: NOPE");
    EXPECT_EQ(error_of({"# only words"}), "file with no instructions");
    EXPECT_EQ(error_of({"CMD --x a"}), "unknown flag: --x");
    EXPECT_EQ(error_of({R"(CMD ["a", 1])"}),
              "when using JSON array syntax, arrays must be comprised of strings only");
    EXPECT_EQ(error_of({"VOLUME []"}), "VOLUME requires at least one argument");
    EXPECT_EQ(error_of({"HEALTHCHECK --interval CMD a"}), "missing a value on flag: --interval");
    EXPECT_EQ(error_of({"HEALTHCHECK --retries=1 --retries=2 CMD a"}),
              "duplicate flag specified: --retries");
    EXPECT_EQ(error_of({"HEALTHCHECK --timeout=1us CMD a"}),
              "Interval \"timeout\" cannot be less than 1ms");
    EXPECT_EQ(error_of({"#escape=x", "CMD a"}), "invalid escape token 'x' does not match ` or \\");
}

// What Docker 28.2.2 makes of the same words.
TEST(Changes, ExpandVariablesAsTheBuilderDoes) {
    const std::vector<std::string> environment{"X=11", "P=a/b/c", "E="};
    const std::vector<std::pair<std::string, std::string>> words{
        {"$X", "11"},
        {"${X}y", "11y"},
        {"${N:-d}", "d"},
        {"${E:-d}", "d"},
        {"${E-d}", ""},
        {"${X:+e}", "e"},
        {"${N:-${Y:-z}}", "z"},
        {"${X:-${Y:-z}}", "11"},
        {"${P#*/}", "b/c"},
        {"${P##*/}", "c"},
        {"${P%/*}", "a/b"},
        {"${P%%/*}", "a"},
        {"${X/1/2}", "21"},
        {"${X//1/2}", "22"},
        {"$1", ""},
        {"$$", ""},
        {"$", "$"},
        {"\\$X", "$X"},
        {"'$X'", "$X"},
        {R"("\"q\" $X")", "\"q\" 11"},
        {"it\\'s", "it's"},
        {R"("a\nb")", R"(a\nb)"},
        {R"(a\nb)", "anb"},
        {"\\", ""},
    };
    for (const auto& [word, expected] : words) {
        EXPECT_EQ(expand_word(word, environment), expected) << word;
    }
    const std::vector<std::pair<std::string, std::string>> errors{
        {"${N:?msg}", "failed to process \"${N:?msg}\": N: msg"},
        {"${N?}", "failed to process \"${N?}\": N: is not allowed to be unset"},
        {"${E:?}", "failed to process \"${E:?}\": E: is not allowed to be empty"},
        {"${", "failed to process \"${\": syntax error: missing '}'"},
        {"${}", "failed to process \"${}\": syntax error: bad substitution"},
        {"${X:1}", "failed to process \"${X:1}\": unsupported modifier (:1) in substitution"},
        {"\"x",
         "failed to process \"\\\"x\": unexpected end of statement while looking for "
         "matching double-quote"},
    };
    for (const auto& [word, expected] : errors) {
        try {
            (void)expand_word(word, environment);
            ADD_FAILURE() << word;
        } catch (const base::Error& error) {
            EXPECT_EQ(std::string(error.what()), expected);
        }
    }
}

TEST(Changes, ReadEmptyFormsAndEscapesAsTheBuilderDoes) {
    model::ContainerConfig base;
    base.cmd.push_back("old");
    EXPECT_THAT(changed({"CMD"}, base).cmd, ElementsAre("/bin/sh", "-c"));
    EXPECT_TRUE(changed({"CMD []"}, base).cmd.empty());
    EXPECT_TRUE(changed({"CMD []", "ENTRYPOINT [\"x\"]"}, base).cmd.is_null());
    EXPECT_TRUE(changed({"ENTRYPOINT"}, base).entrypoint.is_null());
    EXPECT_TRUE(changed({"ENTRYPOINT []"}, base).entrypoint.is_null());
    EXPECT_THAT(changed({"# escape=`", "CMD a`", " b"}).cmd, ElementsAre("/bin/sh", "-c", "a b"));
    EXPECT_THAT(changed({"CMD a \\", "# c", " b"}).cmd, ElementsAre("/bin/sh", "-c", "a  b"));
    EXPECT_EQ(changed({"EXPOSE 80/ [::1]::81"}).exposed_ports.size(), 2U);
    EXPECT_EQ(changed({"HEALTHCHECK --nope NONE"}).healthcheck->test.size(), 1U);
}

TEST(MatchesPattern, FollowsGoPathMatch) {
    EXPECT_TRUE(matches_pattern("busybox", "busybox"));
    EXPECT_TRUE(matches_pattern("busy*", "busybox:latest"));
    EXPECT_TRUE(matches_pattern("*:lat?st", "busybox:latest"));
    EXPECT_TRUE(matches_pattern("b[a-z]*[^0-9]", "busybox"));
    EXPECT_TRUE(matches_pattern("a\\*b", "a*b"));
    EXPECT_TRUE(matches_pattern("*/*b*", "x/abc"));
    EXPECT_FALSE(matches_pattern("*", "library/busybox"));
    EXPECT_FALSE(matches_pattern("busybox", "busybox:latest"));
    EXPECT_FALSE(matches_pattern("?", ""));
    EXPECT_FALSE(matches_pattern("a*b*c", "a/b/c"));
    for (const char* bad : {"[", "a[", "[]", "[-x]", "x\\", "[a-"}) {
        EXPECT_THROW((void)matches_pattern(bad, "x"), base::Error) << bad;
    }
}

TEST(Platform, RefusesInDockersWords) {
    const auto fault = [](const char* text) -> std::string {
        try {
            return "accepted as " + Platform::parse(text).text();
        } catch (const base::Error& error) {
            return error.what();
        }
    };
    const std::string os = "specifier component must match "
                           R"("^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$": invalid argument)";
    EXPECT_EQ(fault("   "), R"("   " is an invalid OS component of "   ": OSAndVersion )" + os);
    EXPECT_EQ(fault("/"), R"("" is an invalid OS component of "/": OSAndVersion )" + os);
    EXPECT_EQ(fault("linux/am d"),
              R"("am d" is an invalid component of "linux/am d": platform specifier component must )"
              R"(match "^[A-Za-z0-9_.-]+$": invalid argument)");
    EXPECT_EQ(fault("nintendo64"),
              R"("nintendo64": unknown operating system or architecture: invalid argument)");
    EXPECT_EQ(fault("a/b/c/d"), R"("a/b/c/d": cannot parse platform specifier: invalid argument)");
    EXPECT_EQ(fault("linux/*"), R"("linux/*": wildcards not yet supported: invalid argument)");
    EXPECT_EQ(Platform::parse("macos").os, "darwin");
    EXPECT_EQ(Platform::parse("Windows(10.0.17763)/amd64").os, "windows");
}

TEST(Platform, ParsesAndAccepts) {
    EXPECT_EQ(Platform::parse("linux/x86_64").text(), "linux/amd64");
    EXPECT_EQ(Platform::parse("linux/arm").text(), "linux/arm/v7");
    EXPECT_EQ(Platform::parse("linux/arm64/v8").text(), "linux/arm64");
    EXPECT_EQ(Platform::parse("linux").architecture, Platform::host().architecture);
    EXPECT_THROW((void)Platform::parse("nonsense"), base::Error);
    EXPECT_TRUE(Platform::parse("linux/arm/v7").accepts({"linux", "arm", "v6"}));
    EXPECT_FALSE(Platform::parse("linux/arm/v6").accepts({"linux", "arm", "v7"}));
    EXPECT_FALSE(Platform::parse("linux/arm64").accepts({"linux", "amd64", ""}));
    EXPECT_TRUE(Platform::parse("linux/amd64").accepts({"", "amd64", ""}));
}

TEST(Moment, TakesDurationsTimesAndSeconds) {
    EXPECT_EQ(parse_moment("1700000000.5"), base::WallTime(1'700'000'000, 500'000'000));
    EXPECT_EQ(parse_moment("2023-11-14T22:13:20Z"), base::WallTime(1'700'000'000, 0));
    EXPECT_EQ(parse_moment("2023-11-14T22:13:20.25+00:00"),
              base::WallTime(1'700'000'000, 250'000'000));
    const auto ago = base::WallTime::now().seconds() - parse_moment("1h").seconds();
    EXPECT_TRUE(ago == 3600 || ago == 3601) << ago;
    EXPECT_THROW((void)parse_moment("yesterday"), base::Error);
}

}  // namespace
}  // namespace dockerd::engine
