#include "stats.hpp"

#include <dockerd/base/error.hpp>

#include "../params.hpp"
#include "text.hpp"

namespace dockerd::api::codec {

using runtime::CgroupStats;

static void put(Text& out, const runtime::BlkioEntry& entry) {
    Object{out}("major", entry.major)("minor", entry.minor)("op", entry.op)("value", entry.value);
}

static void put(Text& out, const engine::InterfaceStats& stats) {
    Object{out}("rx_bytes", stats.rx_bytes)("rx_packets", stats.rx_packets)(
        "rx_errors", stats.rx_errors)("rx_dropped", stats.rx_dropped)(
        "tx_bytes", stats.tx_bytes)("tx_packets", stats.tx_packets)("tx_errors", stats.tx_errors)(
        "tx_dropped", stats.tx_dropped);
}

namespace {

void put_blkio(Text& out, const CgroupStats::Blkio& blkio) {
    Object object(out);
    const auto list = [&](const char* name, const std::vector<runtime::BlkioEntry>& entries) {
        if (blkio.present) {
            object(name, entries);
        } else {
            object(name, nullptr);
        }
    };
    list("io_service_bytes_recursive", blkio.io_service_bytes);
    list("io_serviced_recursive", blkio.io_serviced);
    list("io_queue_recursive", blkio.io_queued);
    list("io_service_time_recursive", blkio.io_service_time);
    list("io_wait_time_recursive", blkio.io_wait_time);
    list("io_merged_recursive", blkio.io_merged);
    list("io_time_recursive", blkio.io_time);
    list("sectors_recursive", blkio.sectors);
}

void put_cpu(Text& out, const engine::StatsSample& sample) {
    const CgroupStats::Cpu& cpu = sample.cgroup.cpu;
    Object object(out);
    Object{object.key("cpu_usage")}("total_usage", cpu.total)
        .some("percpu_usage", cpu.per_cpu)("usage_in_kernelmode", cpu.kernel)(
            "usage_in_usermode", cpu.user);
    object.some("system_cpu_usage", sample.system.usage);
    object.some("online_cpus", sample.system.cpus);
    Object{object.key("throttling_data")}("periods", cpu.periods)(
        "throttled_periods", cpu.throttled_periods)("throttled_time", cpu.throttled_time);
}

void put_memory(Text& out, const CgroupStats::Memory& memory) {
    Object object(out);
    object.some("usage", memory.usage);
    object.some("max_usage", memory.max_usage);
    if (!memory.stats.empty()) put_map(object.key("stats"), memory.stats);
    object.some("failcnt", memory.failcnt);
    object.some("limit", memory.limit);
}

}  // namespace

StatsCall decode_stats(const http::Request& request) {
    StatsCall call;
    call.stream = bool_param_or(request, "stream", true);
    if (request.version >= http::ApiVersion{1, 41}) {
        call.one_shot = bool_param_or(request, "one-shot", false);
    }
    if (call.stream && call.one_shot) {
        base::fail(base::ErrorKind::invalid_argument,
                   "cannot have stream=true and one-shot=true");
    }
    return call;
}

std::string encode_stats(const engine::StatsSample& sample, const engine::StatsSample& previous,
                         bool named) {
    Text out(Text::Escape::html);
    out.reserve(4096);
    {
        Object object(out);
        if (named) object.some("name", sample.name).some("id", sample.id);
        object("read", sample.read);
        object("preread", previous.read);
        Object{object.key("pids_stats")}
            .some("current", sample.cgroup.pids.current)
            .some("limit", sample.cgroup.pids.limit);
        put_blkio(object.key("blkio_stats"), sample.cgroup.blkio);
        object("num_procs", 0);
        object("storage_stats", model::Empty{});
        put_cpu(object.key("cpu_stats"), sample);
        put_cpu(object.key("precpu_stats"), previous);
        put_memory(object.key("memory_stats"), sample.cgroup.memory);
        object.some("networks", sample.networks);
    }
    return out.take_line();
}

}  // namespace dockerd::api::codec
