#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <mutex>

#include <dockerd/base/strings.hpp>

#include "containers.hpp"
#include "net_dev.hpp"

namespace dockerd::engine {

std::map<std::string, InterfaceStats> parse_net_dev(std::string_view text) {
    std::map<std::string, InterfaceStats> out;
    for (const auto& line : base::split(text, '\n')) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        const std::string name(base::trim(line.substr(0, colon)));
        std::vector<std::uint64_t> numbers;
        for (const auto& field : base::split(line.substr(colon + 1), ' ')) {
            if (const auto number = base::parse_int(field)) {
                numbers.push_back(static_cast<std::uint64_t>(*number));
            }
        }
        if (name == "lo" || numbers.size() < 12) continue;
        out[name] = {.rx_bytes = numbers[0],
                     .rx_packets = numbers[1],
                     .rx_errors = numbers[2],
                     .rx_dropped = numbers[3],
                     .tx_bytes = numbers[8],
                     .tx_packets = numbers[9],
                     .tx_errors = numbers[10],
                     .tx_dropped = numbers[11]};
    }
    return out;
}

namespace {

std::map<std::string, InterfaceStats> read_interfaces(std::int64_t pid) {
    const std::string path = fmt::format("/proc/{}/net/dev", pid);
    const base::Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t got = 0;
    while (file && (got = ::read(file.get(), buffer.data(), buffer.size())) > 0) {
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return parse_net_dev(text);
}

}  // namespace

StatsSample Containers::stats(std::string_view reference) {
    const auto container = index_.get(reference);
    container->operation.lock();
    return sample_stats(*container);
}

std::vector<StatsSample> Containers::stats_of_all() {
    std::vector<StatsSample> out;
    for (const auto& container : index_.all()) {
        if (!container->snapshot()->state.running || !container->operation.try_lock()) continue;
        StatsSample sample = sample_stats(*container);
        if (sample.running) out.push_back(std::move(sample));
    }
    return out;
}

/// Unlocks the container as soon as what it guards has been read.
StatsSample Containers::sample_stats(Container& container) {
    StatsSample sample;
    sample.id = container.id;
    std::int64_t pid = 0;
    bool own_network = false;
    {
        const std::unique_lock lock(container.operation, std::adopt_lock);
        sample.name = container.record.name;
        if (!container.record.state.running || !container.cgroup) return sample;
        sample.cgroup = container.cgroup.stats();
        pid = container.record.state.pid;
        own_network = container.sandbox && !container.sandbox->is_host();
    }
    sample.running = true;
    sample.read = base::WallTime::now();
    sample.system = runtime::read_system_cpu();
    if (own_network) sample.networks = read_interfaces(pid);
    return sample;
}

}  // namespace dockerd::engine
