#include <dockerd/git/jail.hpp>
#include <dockerd/logging/drivers.hpp>

#include "app/daemon.hpp"

namespace {

/// Descriptors of a log forwarder, by agreement with src/runtime/monitor/log_sink.cpp.
constexpr int forwarder_config = 3;
constexpr int forwarder_link = 4;

}  // namespace

int main(int argc, char** argv) {
    if (argc == 1 && dockerd::logging::forwarder_name == argv[0]) {
        return dockerd::logging::run_forwarder(forwarder_config, forwarder_link);
    }
    if (argc == 1 && dockerd::git::program_name == argv[0]) dockerd::git::run_jail();
    return dockerd::app::run_daemon({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
}
