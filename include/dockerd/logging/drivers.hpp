#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <dockerd/base/time.hpp>

/// Log drivers: what they are called, which options they take, and the ones that send logs away.
namespace dockerd::logging {

using Options = std::map<std::string, std::string>;

/// What a driver tells about the container a line comes from.
/// Source: moby daemon/logger/loginfo.go, Info.
struct ContainerInfo {
    std::string id;
    std::string name;  ///< with its leading slash
    std::string entrypoint;
    std::vector<std::string> args;
    std::string image_id;    ///< with "sha256:"
    std::string image_name;  ///< as the create request had it
    base::WallTime created;
    std::vector<std::string> env;
    std::map<std::string, std::string> labels;
};

/// Names of all drivers but "none", sorted.
std::vector<std::string> driver_names();

/// The driver's logs leave this machine's container folder: a forwarder process sends them.
bool is_remote(std::string_view driver);

/// Checks options as a create request does. `none` takes anything.
/// Throws: invalid_argument: `unknown log opt 'x' for json-file log driver`, `error looking up
///         logging plugin x: plugin "x" not found` and what each option's rule says.
/// Source: moby daemon/logger/factory.go, ValidateLogOpts.
void validate_options(const std::string& driver, const Options& options);

/// Adds the daemon's default options where the container has none: all of them for the daemon's
/// own driver, those of the cache for any. Source: moby daemon/logs.go, mergeAndVerifyLogConfig.
void merge_defaults(const std::string& driver, Options& options, const std::string& default_driver,
                    const Options& defaults);

/// When and how log files are rotated.
struct FileSettings {
    std::int64_t max_size = -1;  ///< bytes; -1: never
    int max_files = 1;           ///< the newest and the rotated ones
    bool compress = false;
};

/// What `json-file` or `local` were asked for. Checked when a container starts, as Docker does.
/// Throws: internal or invalid_argument, such as "invalid size: 'x'".
FileSettings file_settings(const std::string& driver, const Options& options);

/// Whether a driver that cannot read keeps a copy for `docker logs`.
bool uses_cache(const Options& options);
/// Of that copy; a value that cannot be read counts as not given.
FileSettings cache_settings(const Options& options);

/// `mode=non-blocking`: lines are dropped when this many bytes wait. -1: the container waits.
/// Throws: internal, "invalid size: 'x'".
std::int64_t ring_size(const Options& options);

/// The labels and variables that `labels`, `labels-regex`, `env` and `env-regex` choose.
/// Throws: internal, "error parsing regexp: ...".
std::map<std::string, std::string> extra_attributes(const Options& options,
                                                    const ContainerInfo& info);

/// The `tag` option, or `fallback` without one, filled in.
/// Throws: internal, `template: log-tag:1: function "x" not defined` and the like.
std::string render_tag(const Options& options, const ContainerInfo& info,
                       std::string_view fallback);

/// Bytes of "10k", "1.5gb", "512" with powers of 1000, or of 1024 if `binary`.
/// Throws: invalid_argument, "invalid size: 'x'", "invalid suffix: 'x'".
/// Source: docker/go-units, FromHumanSize and RAMInBytes.
std::int64_t parse_size(std::string_view text, bool binary);

/// Everything a forwarder process needs to know, in a form it can be given.
/// Throws: what the driver says of its options.
std::string encode_forwarder(const std::string& driver, const Options& options,
                             const ContainerInfo& info);

/// Name by which dockerd, executed again, knows that it is to be a forwarder.
constexpr std::string_view forwarder_name = "docker-log";

/// The forwarder: reads its configuration from `config`, then entries from `stream` (in the form
/// of the local driver) until that ends, and sends them. Answers on `stream` with "ok\n" or
/// "error TEXT\n", and later "lost TEXT\n" for entries that could not be sent.
/// Returns the exit status.
int run_forwarder(int config, int stream);

}  // namespace dockerd::logging
