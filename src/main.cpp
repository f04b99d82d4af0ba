#include "app/daemon.hpp"

int main(int argc, char** argv) {
    return dockerd::app::run_daemon({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
}
