#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dockerd/archive/tar.hpp>

namespace dockerd::archive {

constexpr std::size_t block_size = 512;
/// Go's limit for PAX records and GNU long names. Source: Go archive/tar, maxSpecialFileSize.
constexpr std::int64_t max_special_size = 1 << 20;

using PaxRecords = std::map<std::string, std::string>;
/// Data of a sparse file: offset and length, ascending.
using SparseMap = std::vector<std::pair<std::int64_t, std::int64_t>>;

/// Throws invalid_argument, "archive/tar: invalid tar header".
[[noreturn]] void invalid_header();

bool is_zero_block(std::string_view block);
/// Reads one header block; `entry.name` includes the ustar prefix.
void parse_block(std::string_view block, TarEntry& entry);
/// Octal or base-256 number.
std::int64_t parse_number(std::string_view field);
/// Up to the first NUL.
std::string parse_text(std::string_view field);
PaxRecords parse_pax(std::string_view bytes);
void apply_pax(const PaxRecords& records, TarEntry& entry);
/// A decimal number of a PAX record.
std::int64_t parse_decimal(std::string_view text);
/// True for members that have no data whatever their size field says.
bool is_header_only(char type_flag);

/// Adds the pairs of an old GNU sparse header or its extension; `count` of them.
void add_sparse_pairs(std::string_view pairs, std::size_t count, SparseMap& map);
/// Throws unless the map is ascending, without overlap, and inside `size`.
void check_sparse(const SparseMap& map, std::int64_t size);

}  // namespace dockerd::archive
