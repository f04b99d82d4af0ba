#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <dockerd/build/dockerfile.hpp>
#include <dockerd/model/container.hpp>

/// Instructions of a Dockerfile, each with what it needs. Source: buildkit
/// frontend/dockerfile/instructions.
namespace dockerd::build {

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// Variables of the environment.
struct Env {
    Pairs pairs;
};
/// Labels of the image.
struct Label {
    Pairs pairs;
    bool literal = false;  ///< values come from a client, variables stay as they are
};
/// Arguments that a client may give; without a value, one that has none by itself.
struct Arg {
    struct Item {
        std::string key;
        std::optional<std::string> value;
    };
    std::vector<Item> items;
};
/// A command in shell form, to be given to the shell, or in exec form.
struct CommandLine {
    std::vector<std::string> words;
    bool exec_form = false;
};
/// What a container runs by default.
struct Cmd {
    CommandLine line;
};
/// What a container runs in any case.
struct Entrypoint {
    CommandLine line;
};
/// A command whose changes to files become a layer.
struct Run {
    CommandLine line;
    std::vector<Heredoc> files;
    std::vector<std::string> mounts;  ///< as written: "type=cache,target=/x"
    std::string network;              ///< "default", "none", "host"
    std::string security;             ///< "sandbox", "insecure"
};
/// COPY and ADD.
struct Copy {
    bool is_add = false;
    std::vector<std::string> sources;
    std::vector<Heredoc> files;  ///< content that stands in the Dockerfile
    std::string destination;
    std::string from;
    std::string chown;
    std::string chmod;
    std::string checksum;
    bool link = false;
    bool parents = false;
    bool keep_git_dir = false;
    std::optional<bool> unpack;
    std::vector<std::string> excludes;
};
/// Ports, as written: "80", "53/udp", "$PORTS".
struct Expose {
    std::vector<std::string> ports;
};
/// How health is probed.
struct Healthcheck {
    model::HealthConfig health;
};
/// The author.
struct Maintainer {
    std::string name;
};
/// An instruction for those who build on this image.
struct Onbuild {
    std::string trigger;
};
/// What commands in shell form are given to.
struct Shell {
    std::vector<std::string> words;
};
/// How a container is to be stopped.
struct StopSignal {
    std::string signal;
};
/// Who a container runs as.
struct User {
    std::string user;
};
/// Where a container has volumes.
struct Volume {
    std::vector<std::string> paths;
};
/// Where a container runs.
struct Workdir {
    std::string path;
};

/// One instruction that is not FROM.
struct Instruction {
    std::variant<Env, Label, Arg, Cmd, Entrypoint, Run, Copy, Expose, Healthcheck, Maintainer,
                 Onbuild, Shell, StopSignal, User, Volume, Workdir>
        what;
    std::string code;  ///< as written, for the log of the build
};

/// FROM and what follows it.
struct Stage {
    std::string base;
    std::string name;  ///< lower case, or empty
    std::string platform;
    std::string code;
    std::vector<Instruction> instructions;
};

/// What a Dockerfile says.
struct Program {
    std::vector<Instruction> arguments;  ///< ARG before the first FROM
    std::vector<Stage> stages;
};

/// Reads all statements.
/// Throws: invalid_argument, "dockerfile parse error on line 3: unknown instruction: NOPE (did you
///         mean COPY?)", "no build stage in current context" and kin.
Program read_program(const Dockerfile& dockerfile);

/// Reads one statement that is not FROM, as of a trigger. Throws: the same without a line.
Instruction read_instruction(const Statement& statement);

/// The stage of that name; nullopt when there is none.
std::optional<std::size_t> find_stage(const Program& program, std::string_view name);

/// Fills variables in where the instruction has them filled in.
/// Source: buildkit frontend/dockerfile/instructions/commands.go, Expand.
void expand(Instruction& instruction,
            const std::function<std::string(std::string_view word)>& expander);

}  // namespace dockerd::build
