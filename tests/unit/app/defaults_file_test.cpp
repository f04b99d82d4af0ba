#include "app/defaults_file.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include <dockerd/base/error.hpp>

#include "app/flags.hpp"

namespace dockerd::app {
namespace {

using Words = std::vector<std::string>;

Words words(std::string_view text) { return parse_defaults(text, "/d").words; }

std::string fault(std::string_view text) {
    try {
        (void)parse_defaults(text, "/d");
    } catch (const base::Error& error) {
        return error.what();
    }
    return "accepted";
}

TEST(Defaults, ReadTheLineThatUsersWrite) {
    EXPECT_EQ(words("DOCKER_OPTS=\"dockerd -H tcp://0.0.0.0:2375 "
                    "--insecure-registry=192.168.100.99:5000 --tls=false\"\n"),
              (Words{"-H", "tcp://0.0.0.0:2375", "--insecure-registry=192.168.100.99:5000",
                     "--tls=false"}));
    EXPECT_EQ(words("DOCKER_OPTS='/usr/sbin/dockerd -D'"), (Words{"-D"}));
    EXPECT_EQ(words("DOCKER_OPTS="), Words{});
    EXPECT_EQ(words("# DOCKER_OPTS=-D\n\n  \t\v\f\r\n"), Words{});
}

TEST(Defaults, UnderstandQuotesCommentsAndContinuedLines) {
    EXPECT_EQ(words("A=1; DOCKER_OPTS=\"-D \\\n --mtu 1400\" # the rest\nB='x y'\n"),
              (Words{"-D", "--mtu", "1400"}));
    EXPECT_EQ(words("DOCKER_OPTS='--label \"a=b c\" --label d=\\ e'"),
              (Words{"--label", "a=b c", "--label", "d= e"}));
    EXPECT_EQ(words("DOCKER_OPTS=-D\"#no\"comment"), (Words{"-D#nocomment"}));
    EXPECT_EQ(words("A=-D\nDOCKER_OPTS=\"$A ${A} \\$A\""), (Words{"-D", "-D", "$A"}));
    EXPECT_EQ(words("DOCKER_OPTS=-D\nDOCKER_OPTS=\"$DOCKER_OPTS --icc=false\""),
              (Words{"-D", "--icc=false"}));
}

TEST(Defaults, ExportWhatIsExported) {
    const auto exports =
        parse_defaults("export A=1 B='2 3'\nC=4\nexport C\nD=5\nA=6\n", "/d").exports;
    EXPECT_EQ(exports, (std::vector<std::pair<std::string, std::string>>{
                           {"A", "1"}, {"B", "2 3"}, {"C", "4"}, {"A", "6"}}));
}

TEST(Defaults, NameTheLineOfAnError) {
    EXPECT_EQ(fault("\n\nDOCKER_OPTS=\"-D\n\n"), "/d: line 3: unterminated quote");
    EXPECT_EQ(fault("A='x"), "/d: line 1: unterminated quote");
    EXPECT_EQ(fault("A=1\\\n2\nB=$(id)"), "/d: line 3: commands are not executed");
    EXPECT_EQ(fault("A=`id`"), "/d: line 1: commands are not executed");
    EXPECT_EQ(fault("A=${B:-c}"), "/d: line 1: of ${...} only a plain name is understood");
    EXPECT_EQ(fault("echo hi"), "/d: line 1: \"echo\" is not understood: only assignments are");
    EXPECT_EQ(fault("if [ -e /x ]; then"), "/d: line 1: \"if\" is not understood: only assignments are");
    EXPECT_EQ(fault("A=1 && B=2"), "/d: line 1: '&' is not understood: only assignments are");
    EXPECT_EQ(fault("export 1=2"), "/d: line 1: \"1=2\" is not understood: only assignments are");
    EXPECT_EQ(fault("\nDOCKER_OPTS=\"--label \\\"a\"\n"),
              "/d: line 2: unterminated quote within DOCKER_OPTS");
}

class DefaultsFile : public testing::Test {
protected:
    void write(const std::string& text) { std::ofstream(path_) << text; }
    CommandLine read(std::vector<std::string> arguments) {
        arguments.push_back("--defaults-file=" + path_);
        std::vector<const char*> raw;
        for (const std::string& argument : arguments) raw.push_back(argument.c_str());
        return read_command_line(raw);
    }
    const std::string path_ = testing::TempDir() + "dockerd-defaults-" + std::to_string(::getpid());
    void TearDown() override { (void)::unlink(path_.c_str()); }
};

TEST_F(DefaultsFile, StandsBelowTheCommandLine) {
    write("DOCKER_OPTS='--label a=b --label c=d --mtu 1300 --icc=false --log-opt x=1'\n");
    const Config config = read({"--label", "e=f", "--mtu=1400", "--log-opt", "y=2"}).config;
    EXPECT_EQ(config.labels, (Words{"e=f"}));
    EXPECT_EQ(config.mtu, 1400);
    EXPECT_FALSE(config.icc);
    EXPECT_EQ(config.log_opts, (std::map<std::string, std::string>{{"y", "2"}}));
    // For the conflicts with daemon.json it is as if all had stood there.
    for (const char* flag : {"label", "mtu", "icc", "log-opt"}) {
        EXPECT_TRUE(config.from_flags.contains(flag)) << flag;
    }
}

TEST_F(DefaultsFile, MayBePassedOnByAnInitScript) {
    write("DOCKER_OPTS='dockerd --label a=b --mtu 1300'\n");
    const Config config = read({"-p", "/x", "dockerd", "--label", "a=b", "--mtu", "1300"}).config;
    EXPECT_EQ(config.labels, (Words{"a=b"}));
    EXPECT_EQ(config.pidfile, "/x");
    EXPECT_THROW((void)read({"-p", "/x", "other"}), base::Error);
    write("DOCKER_OPTS='--label a=b'\n");
    EXPECT_THROW((void)read({"dockerd"}), base::Error);
}

TEST_F(DefaultsFile, MayHaveDeprecatedFlagsButNoHelp) {
    write("DOCKER_OPTS=--restart=false\n");
    EXPECT_EQ(read({}).warnings,
              "Flag --restart has been deprecated, Please use a restart policy on docker run\n");
    write("DOCKER_OPTS=--help\n");
    EXPECT_THROW((void)read({}), base::Error);
    EXPECT_EQ(read({"--help"}).command, Command::help);
}

TEST_F(DefaultsFile, HasToBeThereWhenItIsNamed) { EXPECT_THROW((void)read({}), base::Error); }

}  // namespace
}  // namespace dockerd::app
