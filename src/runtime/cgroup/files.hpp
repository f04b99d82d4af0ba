#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/base/fd.hpp>

namespace dockerd::runtime::cgroup_files {

/// Content of `path` below `directory`; nullopt when it cannot be opened or read.
std::optional<std::string> read(int directory, const std::string& path);

/// The same; empty when it cannot be read.
std::string read_text(int directory, const std::string& path);

/// Writes `value` with one write(2). Returns 0 or the errno of open or write.
int write(int directory, const std::string& path, std::string_view value);

bool exists(int directory, const std::string& path);

/// A decimal number with white space around it; "max" is the greatest number, negative ones 0.
/// Source: containerd/cgroups, parseUint.
std::optional<std::uint64_t> parse_number(std::string_view text);

/// Content of `path` as a number.
std::optional<std::uint64_t> read_number(int directory, const std::string& path);

/// Lines "key value" of `text`.
std::vector<std::pair<std::string_view, std::uint64_t>> parse_pairs(std::string_view text);

/// Value of `key` among parse_pairs(text); 0 when absent.
std::uint64_t pair_value(std::string_view text, std::string_view key);

/// Parts of `text` between any of `separators`, without empty ones.
std::vector<std::string_view> fields(std::string_view text, std::string_view separators);
/// The parts would outlive their text.
std::vector<std::string_view> fields(std::string&& text, std::string_view separators) = delete;

/// Names of the folders in `path` below `directory`.
std::vector<std::string> subfolders(int directory, const std::string& path);

}  // namespace dockerd::runtime::cgroup_files
