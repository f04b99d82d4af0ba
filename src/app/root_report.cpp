#include "root_report.hpp"

#include <fmt/format.h>

#include <string>

#include <dockerd/store/check.hpp>

namespace dockerd::app {
namespace {

/// Names and contents of damaged files may be any bytes: none of them is to reach a terminal.
std::string printable(const std::string& text) {
    std::string out;
    for (const char c : text) out += c >= ' ' && c <= '~' ? c : '?';
    return out;
}

}  // namespace

int report_data_root(const std::string& data_root) {
    const store::RootReport report = store::check_data_root(data_root);
    fmt::print("{}: {} images, {} layers, {} containers, {} volumes, {} networks\n", data_root,
               report.images, report.layers, report.containers, report.volumes, report.networks);
    if (report.in_use) {
        fmt::print("An engine is running on it: what comes and goes meanwhile may look damaged.\n");
    }
    for (const std::string& note : report.notes) fmt::print("note: {}\n", printable(note));
    for (const std::string& problem : report.problems) fmt::print("problem: {}\n", printable(problem));
    if (report.problems.empty()) fmt::print("No problems found.\n");
    return report.problems.empty() ? 0 : 1;
}

}  // namespace dockerd::app
