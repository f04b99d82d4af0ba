#pragma once

#include <string_view>

#include <dockerd/base/fd.hpp>

namespace dockerd::sys {

/// Puts a program, which is part of this one and starts a page, into a file that has no name and
/// that nobody can change, to be executed by its descriptor (CVE-2019-5736).
/// Throws: internal, "<name>: memfd_create: <errno text>" and kin.
base::Fd sealed_program(const char* name, std::string_view bytes);

/// This program, to be executed once more, whatever lies under its name now.
/// Throws: internal, "open /proc/self/exe: <errno text>".
base::Fd own_program();

}  // namespace dockerd::sys
