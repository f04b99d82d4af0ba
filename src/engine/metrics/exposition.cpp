#include "metrics/exposition.hpp"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <string_view>

namespace dockerd::engine {
namespace {

using Values = base::DurationHistogram::Values;

/// A label's value. Source: prometheus exposition formats: backslash, quote and line end.
std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
    return out;
}

class Page {
public:
    void head(std::string_view name, std::string_view help, std::string_view type) {
        name_ = name;
        fmt::format_to(std::back_inserter(out_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                       type);
    }
    void sample(std::string_view labels, auto value) {
        fmt::format_to(std::back_inserter(out_), "{}{}{}{} {}\n", name_, labels.empty() ? "" : "{",
                       labels, labels.empty() ? "" : "}", value);
    }
    void single(std::string_view name, std::string_view help, std::string_view type, auto value) {
        head(name, help, type);
        sample({}, value);
    }
    /// `labels` without braces, "" for none.
    void histogram(std::string_view labels, const Values& values) {
        const std::string_view comma = labels.empty() ? "" : ",";
        const auto& bounds = base::DurationHistogram::bounds;
        for (std::size_t i = 0; i < bounds.size(); ++i) {
            bucket(labels, comma, fmt::format("{}", bounds[i]), values.at_most[i]);
        }
        bucket(labels, comma, "+Inf", values.count);
        const std::string braced = labels.empty() ? "" : fmt::format("{{{}}}", labels);
        fmt::format_to(std::back_inserter(out_), "{}_sum{} {}\n{}_count{} {}\n", name_, braced,
                       values.seconds, name_, braced, values.count);
    }
    void labeled(std::string_view name, std::string_view help, std::string_view label,
                 const std::map<std::string, Values>& all) {
        if (all.empty()) return;
        head(name, help, "histogram");
        for (const auto& [value, one] : all) {
            histogram(fmt::format("{}=\"{}\"", label, escape(value)), one);
        }
    }
    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    void bucket(std::string_view labels, std::string_view comma, std::string_view bound,
                std::uint64_t count) {
        fmt::format_to(std::back_inserter(out_), "{}_bucket{{{}{}le=\"{}\"}} {}\n", name_, labels,
                       comma, bound, count);
    }

    std::string out_;
    std::string name_;
};

void put_actions(Page& page, const EngineMetrics& metrics) {
    page.labeled("engine_daemon_container_actions_seconds",
                 "The number of seconds it takes to process each container action", "action",
                 metrics.container_actions.values());
}

void put_engine(Page& page, const EngineMetrics& metrics, const MetricsFacts& facts) {
    page.head("engine_daemon_container_states_containers",
              "The count of containers in various states", "gauge");
    page.sample("state=\"paused\"", facts.paused);
    page.sample("state=\"running\"", facts.running);
    page.sample("state=\"stopped\"", facts.stopped);
    page.single("engine_daemon_engine_cpus_cpus",
                "The number of cpus that the host system of the engine has", "gauge", facts.cpus);
    std::string labels;
    for (const auto& [name, value] : facts.engine) {
        fmt::format_to(std::back_inserter(labels), "{}{}=\"{}\"", labels.empty() ? "" : ",", name,
                       escape(value));
    }
    page.head("engine_daemon_engine_info",
              "The information related to the engine and the OS it is running on", "gauge");
    page.sample(labels, 1);
    page.single("engine_daemon_engine_memory_bytes",
                "The number of bytes of memory that the host system of the engine has", "gauge",
                facts.memory);
    page.single("engine_daemon_events_subscribers_total",
                "The number of current subscribers to events", "gauge", facts.event_subscribers);
    page.single("engine_daemon_events_total", "The number of events logged", "counter",
                metrics.events.value());
}

void put_health(Page& page, const EngineMetrics& metrics) {
    page.head("engine_daemon_health_check_start_duration_seconds",
              "The number of seconds it takes to prepare to run health checks", "histogram");
    page.histogram({}, metrics.health_check_start.values());
    page.single("engine_daemon_health_checks_failed_total",
                "The total number of failed health checks", "counter",
                metrics.health_checks_failed.value());
    page.single("engine_daemon_health_checks_total", "The total number of health checks", "counter",
                metrics.health_checks.value());
}

void put_more_actions(Page& page, const EngineMetrics& metrics) {
    page.labeled("engine_daemon_host_info_functions_seconds",
                 "The number of seconds it takes to call functions gathering info about the host",
                 "function", metrics.host_info_functions.values());
    page.labeled("engine_daemon_image_actions_seconds",
                 "The number of seconds it takes to process each image action", "action",
                 metrics.image_actions.values());
    page.labeled("engine_daemon_network_actions_seconds",
                 "The number of seconds it takes to process each network action", "action",
                 metrics.network_actions.values());
}

struct PerContainer {
    std::string_view name;
    std::string_view help;
    std::string_view type;
    double (*value)(const StatsSample&);
};

double received(const StatsSample& sample) {
    double sum = 0;
    for (const auto& [name, one] : sample.networks) sum += static_cast<double>(one.rx_bytes);
    return sum;
}

double sent(const StatsSample& sample) {
    double sum = 0;
    for (const auto& [name, one] : sample.networks) sum += static_cast<double>(one.tx_bytes);
    return sum;
}

constexpr std::array per_container{
    PerContainer{"engine_container_cpu_seconds_total", "CPU time the container has used", "counter",
                 [](const StatsSample& s) { return static_cast<double>(s.cgroup.cpu.total) / 1e9; }},
    PerContainer{"engine_container_memory_limit_bytes",
                 "The memory the container may use, at most the machine's", "gauge",
                 [](const StatsSample& s) { return static_cast<double>(s.cgroup.memory.limit); }},
    PerContainer{"engine_container_memory_usage_bytes", "The memory the container uses", "gauge",
                 [](const StatsSample& s) { return static_cast<double>(s.cgroup.memory.usage); }},
    PerContainer{"engine_container_network_receive_bytes_total",
                 "The bytes the container has received", "counter", received},
    PerContainer{"engine_container_network_transmit_bytes_total",
                 "The bytes the container has sent", "counter", sent},
    PerContainer{"engine_container_pids", "The processes and threads in the container", "gauge",
                 [](const StatsSample& s) { return static_cast<double>(s.cgroup.pids.current); }},
};

void put_containers(Page& page, const std::vector<StatsSample>& samples) {
    if (samples.empty()) return;
    for (const PerContainer& metric : per_container) {
        page.head(metric.name, metric.help, metric.type);
        for (const StatsSample& sample : samples) {
            const std::string_view name = sample.name;
            page.sample(fmt::format("id=\"{}\",name=\"{}\"", sample.id,
                                    escape(name.substr(name.starts_with('/') ? 1 : 0))),
                        metric.value(sample));
        }
    }
}

}  // namespace

std::string metrics_text(const EngineMetrics& metrics, const MetricsFacts& facts) {
    Page page;
    put_containers(page, facts.containers);
    put_actions(page, metrics);
    put_engine(page, metrics, facts);
    put_health(page, metrics);
    put_more_actions(page, metrics);
    page.single("process_threads", "The threads of the daemon", "gauge", facts.process_threads);
    return page.take();
}

}  // namespace dockerd::engine
