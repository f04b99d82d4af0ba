#pragma once

#include <string>
#include <string_view>

#include <dockerd/base/fd.hpp>

namespace dockerd::store {

/// Files whose loss costs a transfer and nothing else, below image/overlay2/distribution.

/// Writes one: whole or not at all to readers, but not durable.
void write_note(int directory, const std::string& name, std::string_view content);

/// The folder `root` + `name`. Made anew where it is missing: users delete distribution/ to have
/// blobs fetched again.
base::Fd open_notes(const std::string& root, const std::string& name);

}  // namespace dockerd::store
