#include <dockerd/build/dockerfile.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/build/instruction.hpp>

namespace dockerd::build {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Statement only(const std::string& text) {
    const auto parsed = parse_dockerfile(text);
    EXPECT_EQ(parsed.statements.size(), 1U) << text;
    return parsed.statements.front();
}

template <typename Work>
std::string error_of(Work&& work) {
    try {
        work();
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        return error.what();
    }
    return "no error";
}

std::string parse_error(const std::string& text) {
    return error_of([&] { (void)parse_dockerfile(text); });
}

std::string program_error(const std::string& text) {
    return error_of([&] { (void)read_program(parse_dockerfile(text)); });
}

template <typename T>
T instruction(const std::string& text) {
    return std::get<T>(read_instruction(only(text)).what);
}

TEST(Dockerfile, LinesAreJoinedAndCommentsLeftOut) {
    const auto parsed = parse_dockerfile("# one\n\nFROM a\nRUN b \\\n  # two\n  c \\\nd\n  \nCMD e\\\\\n");
    ASSERT_EQ(parsed.statements.size(), 3U);
    EXPECT_THAT(parsed.statements[1].arguments, ElementsAre("b   c d"));
    EXPECT_EQ(parsed.statements[1].first_line, 4);
    EXPECT_EQ(parsed.statements[2].first_line, 9);
    EXPECT_THAT(parsed.statements[2].arguments, ElementsAre("e\\\\"));
    EXPECT_THAT(parsed.warnings, IsEmpty());
}

TEST(Dockerfile, AnEmptyLineWithinAnInstructionIsWarnedOf) {
    const auto parsed = parse_dockerfile("RUN a \\\n\nb\n");
    EXPECT_THAT(parsed.statements.front().arguments, ElementsAre("a b"));
    EXPECT_THAT(parsed.warnings, ElementsAre("Empty continuation line found in: RUN a b"));
}

TEST(Dockerfile, ByteOrderMarkAndCarriageReturnsAreDropped) {
    const auto parsed = parse_dockerfile("\xEF\xBB\xBF" "FROM a\r\nRUN b\\\r\nc\r\n");
    EXPECT_EQ(parsed.statements[0].name, "FROM");
    EXPECT_THAT(parsed.statements[0].arguments, ElementsAre("a"));
    EXPECT_THAT(parsed.statements[1].arguments, ElementsAre("bc"));
}

TEST(Dockerfile, DirectivesStandAtTheTop) {
    auto parsed = parse_dockerfile("# syntax=docker/dockerfile:1\n# escape = `\nFROM a`\nb\n");
    EXPECT_EQ(parsed.syntax, "docker/dockerfile:1");
    EXPECT_EQ(parsed.escape, '`');
    EXPECT_THAT(parsed.statements.front().arguments, ElementsAre("ab"));
    // Behind any other comment it is a comment as well.
    parsed = parse_dockerfile("# hello\n# escape=`\nFROM a\n");
    EXPECT_EQ(parsed.escape, '\\');
    EXPECT_EQ(parse_error("# escape=x\nFROM a\n"), "invalid escape token 'x' does not match ` or \\");
    EXPECT_EQ(parse_error("# escape=`\n# ESCAPE=`\nFROM a\n"),
              "only one escape parser directive can be used");
}

TEST(Dockerfile, FlagsStandBeforeTheArguments) {
    const auto statement = only("COPY --from=a --chown=\"x y\" -- --b c\n");
    EXPECT_THAT(statement.flags, ElementsAre("--from=a", "--chown=x y"));
    EXPECT_THAT(statement.arguments, ElementsAre("--b", "c"));
    EXPECT_THAT(only("RUN --mount=type=tmpfs,target=/x a --b").arguments, ElementsAre("a --b"));
}

TEST(Dockerfile, ListsOfStringsAreJson) {
    auto statement = only("RUN [\"a\", \"b c\"]");
    EXPECT_TRUE(statement.json);
    EXPECT_THAT(statement.arguments, ElementsAre("a", "b c"));
    // What is no JSON is a command of the shell.
    statement = only("RUN ['a']");
    EXPECT_FALSE(statement.json);
    EXPECT_THAT(statement.arguments, ElementsAre("['a']"));
    EXPECT_EQ(parse_error("RUN [\"a\", 1]"),
              "when using JSON array syntax, arrays must be comprised of strings only");
    EXPECT_THAT(only("CMD []").arguments, IsEmpty());
    EXPECT_TRUE(only("CMD []").json);
}

TEST(Dockerfile, NamesWithValues) {
    EXPECT_THAT(only("ENV a=b c=\"d e\" f=g\\ h").arguments,
                ElementsAre("a", "b", "=", "c", "\"d e\"", "=", "f", "g\\ h", "="));
    EXPECT_THAT(only("ENV a  b c=d").arguments, ElementsAre("a", "b c=d", ""));
    EXPECT_EQ(parse_error("ENV a"), "ENV must have two arguments");
    EXPECT_EQ(parse_error("LABEL a=b c"),
              "Syntax error - can't find = in \"c\". Must be of the form: name=value");
}

TEST(Dockerfile, Heredocs) {
    auto statement = only("RUN <<EOF\necho a\n# no comment\nEOF\n");
    ASSERT_EQ(statement.heredocs.size(), 1U);
    EXPECT_EQ(statement.heredocs[0].content, "echo a\n# no comment\n");
    EXPECT_TRUE(statement.heredocs[0].expand);
    statement = only("COPY <<one <<-'two' /x/\n1\none\n\t2\n\t\ttwo\n");
    ASSERT_EQ(statement.heredocs.size(), 2U);
    EXPECT_EQ(statement.heredocs[0].text(), "1\n");
    EXPECT_EQ(statement.heredocs[1].text(), "2\n");
    EXPECT_FALSE(statement.heredocs[1].expand);
    // Only as a word of its own, and only where files or commands are expected.
    EXPECT_THAT(only("RUN cat<<EOF").heredocs, IsEmpty());
    EXPECT_THAT(only("ENV a=<<EOF").heredocs, IsEmpty());
    EXPECT_THAT(only("RUN [\"a\", \"<<EOF\"]").heredocs, IsEmpty());
    EXPECT_EQ(parse_error("RUN <<EOF\nx\n"), "unterminated heredoc");
    EXPECT_EQ(only("ONBUILD RUN <<EOF\nx\nEOF\n").heredocs.size(), 1U);
}

TEST(Dockerfile, NothingAndTooMuch) {
    EXPECT_EQ(parse_error(""), "file with no instructions");
    EXPECT_EQ(parse_error("# a\n\n"), "file with no instructions");
    const std::string long_line(65530, 'x');
    EXPECT_EQ(only("RUN " + long_line + "\n").arguments.front().size(), 65530U);
    EXPECT_EQ(parse_error("FROM a\nRUN " + long_line + "xx\n"),
              "dockerfile line greater than max allowed size of 65535");
    std::string deep;
    for (int i = 0; i < 8000; ++i) deep += "ONBUILD ";
    EXPECT_EQ(program_error("FROM a\n" + deep + "RUN x\n"),
              "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
}

TEST(Program, ErrorsSayTheLine) {
    const auto expect = [](const std::string& line, const std::string& text) {
        EXPECT_EQ(program_error("FROM a\n" + line + "\n"), "dockerfile parse error on line 2: " + text);
    };
    expect("NOPE b", "unknown instruction: NOPE (did you mean COPY?)");
    expect("quantum b", "unknown instruction: quantum");
    expect("CPY a b", "unknown instruction: CPY (did you mean COPY?)");
    expect("COPY a", "COPY requires at least two arguments, but only one was provided. Destination "
                     "could not be determined");
    expect("COPY --frm=x a b", "unknown flag: --frm (did you mean from?)");
    expect("COPY --from a b", "missing a value on flag: --from");
    expect("COPY --from=a --from=b a b", "duplicate flag specified: --from");
    expect("COPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe");
    expect("WORKDIR", "WORKDIR requires exactly one argument");
    expect("EXPOSE", "EXPOSE requires at least one argument");
    expect("FROM a AS 1b", "invalid name for build stage: \"1b\", name can't start with a number or "
                           "contain symbols");
    expect("FROM a b", "FROM requires either one or three arguments");
    expect("SHELL sh -c", "SHELL requires the arguments to be in JSON form");
    expect("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
    expect("HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms");
    expect("HEALTHCHECK --interval=1 CMD x", "time: missing unit in duration \"1\"");
    expect("HEALTHCHECK --interval=2m5x CMD x", "time: unknown unit \"x\" in duration \"2m5x\"");
    expect("HEALTHCHECK --interval=.s CMD x", "time: invalid duration \".s\"");
    expect("HEALTHCHECK --interval=-s CMD x", "time: invalid duration \"-s\"");
    expect("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)");
    expect("HEALTHCHECK HTTP x", "Unknown type \"HTTP\" in HEALTHCHECK (try CMD)");
    expect("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger");
    expect("VOLUME [\" \"]", "VOLUME specified can not be an empty string");
    expect("ARG =x", "ARG names can not be blank");
    expect("RUN --network=mars x", "invalid network mode \"mars\"");
    EXPECT_EQ(program_error("RUN a\n"), "no build stage in current context");
}

TEST(Program, StagesAndArgumentsBeforeThem) {
    const auto program = read_program(parse_dockerfile(
        "ARG a=b c\nFROM --platform=linux/arm64 x AS One\nRUN y\nFROM one\n"));
    ASSERT_EQ(program.arguments.size(), 1U);
    const auto& items = std::get<Arg>(program.arguments[0].what).items;
    ASSERT_EQ(items.size(), 2U);
    EXPECT_EQ(items[0].value, "b");
    EXPECT_EQ(items[1].value, std::nullopt);
    ASSERT_EQ(program.stages.size(), 2U);
    EXPECT_EQ(program.stages[0].name, "one");
    EXPECT_EQ(program.stages[0].platform, "linux/arm64");
    EXPECT_EQ(program.stages[0].code, "FROM --platform=linux/arm64 x AS One");
    EXPECT_EQ(find_stage(program, "ONE"), 0U);
    EXPECT_EQ(find_stage(program, "two"), std::nullopt);
}

TEST(Program, TriggersKeepTheirTextAndHeredocs) {
    EXPECT_EQ(instruction<Onbuild>("  onbuild  RUN a  b").trigger, "RUN a  b");
    EXPECT_EQ(instruction<Onbuild>("ONBUILD COPY <<E /x\n1\nE\n").trigger, "COPY <<E /x\n1\nE");
}

TEST(Program, CopiesTakeFilesAndHeredocs) {
    const auto copy = instruction<Copy>("COPY --chmod=644 a <<E b /x/\ntext\nE\n");
    EXPECT_THAT(copy.sources, ElementsAre("a", "b"));
    ASSERT_EQ(copy.files.size(), 1U);
    EXPECT_EQ(copy.files[0].name, "E");
    EXPECT_EQ(copy.destination, "/x/");
    EXPECT_EQ(copy.chmod, "644");
    EXPECT_EQ(program_error("FROM a\nCOPY a <<E\nE\n"),
              "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination");
}

}  // namespace
}  // namespace dockerd::build
