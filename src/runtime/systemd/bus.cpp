#include "systemd/bus.hpp"

#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/worker_pool.hpp>

#include "systemd/library.hpp"

namespace dockerd::runtime::systemd {

namespace {

using Clock = std::chrono::steady_clock;
using base::Error;
using base::ErrorKind;
using namespace std::chrono_literals;

constexpr const char* destination = "org.freedesktop.systemd1";
constexpr const char* manager_path = "/org/freedesktop/systemd1";
constexpr const char* manager = "org.freedesktop.systemd1.Manager";
/// Source: runc libcontainer/cgroups/systemd/common.go, startUnit and stopUnit.
constexpr auto longest_wait = 30s;

std::uint64_t microseconds(Clock::duration time) {
    const auto count = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    return count > 0 ? static_cast<std::uint64_t>(count) : 0;
}

void check(int result, const char* what) {
    if (result < 0) base::throw_errno(-result, what);
}

struct MessageRelease {
    const Library* library;
    void operator()(sd_bus_message* message) const noexcept { library->message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, MessageRelease>;

/// An answer that says no.
class Refused : public Error {
public:
    Refused(std::string name, const std::string& message)
        : Error(ErrorKind::internal, message), name_(std::move(name)) {}
    [[nodiscard]] bool is(std::string_view name) const {
        return name_ == fmt::format("{}.{}", destination, name);
    }

private:
    std::string name_;
};

class Connection {
public:
    explicit Connection(const std::vector<BusAddress>& addresses) : library_(library()) {
        int error = ENOENT;
        for (const BusAddress& address : addresses) {
            error = open(address);
            if (error == 0) return;
        }
        base::throw_errno(error, "failed to connect to dbus");
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() {
        if (bus_) library_.close(bus_);
    }

    Message request(const char* member) {
        sd_bus_message* raw = nullptr;
        check(library_.new_method_call(bus_, &raw, destination, manager_path, manager, member),
              "D-Bus message");
        return {raw, {&library_}};
    }

    /// Throws: Refused; internal when nothing comes.
    Message call(const Message& request) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message* raw = nullptr;
        const int result =
            library_.call(bus_, request.get(), microseconds(longest_wait), &error, &raw);
        Message reply{raw, {&library_}};
        if (result >= 0) return reply;
        const std::string name = error.name ? error.name : "";
        const std::string text = error.message ? error.message : base::errno_text(-result);
        library_.error_free(&error);
        throw Refused(name, text);
    }

    /// A call that makes a job; returns its path.
    std::string call_for_job(const Message& request) {
        const Message reply = call(request);
        const char* job = nullptr;
        check(library_.read(reply.get(), "o", &job), "D-Bus answer");
        return job;
    }

    /// From here on ends of jobs are remembered.
    void watch_jobs() {
        check(library_.match_signal(bus_, nullptr, is_bus_ ? destination : nullptr, manager_path,
                                    manager, "JobRemoved", &Connection::job_removed, this),
              "D-Bus match");
        if (is_bus_) (void)call(request("Subscribe"));
    }

    /// How the job ended ("done"); nullopt when it has not by then.
    std::optional<std::string> wait_job(const std::string& job, Clock::time_point deadline) {
        for (;;) {
            if (const auto found = ended_.find(job); found != ended_.end()) return found->second;
            const int done = library_.process(bus_, nullptr);
            check(done, "D-Bus");
            if (done > 0) continue;
            const auto left = deadline - Clock::now();
            if (left <= Clock::duration::zero()) return {};
            const int waited = library_.wait(bus_, microseconds(left));
            if (waited != -EINTR) check(waited, "D-Bus");
        }
    }

    void append(const Message& message, const std::string& text) {
        check(library_.append(message.get(), "s", text.c_str()), "D-Bus message");
    }
    void append(const Message& message, const std::vector<UnitProperty>& properties) {
        check(library_.open_container(message.get(), 'a', "(sv)"), "D-Bus message");
        for (const UnitProperty& property : properties) {
            check(library_.open_container(message.get(), 'r', "sv"), "D-Bus message");
            append(message, property.name);
            std::visit([&](const auto& value) { append_variant(message, value); }, property.value);
            check(library_.close_container(message.get()), "D-Bus message");
        }
        check(library_.close_container(message.get()), "D-Bus message");
    }
    /// An empty array of `element`.
    void append_nothing(const Message& message, const char* element) {
        check(library_.open_container(message.get(), 'a', element), "D-Bus message");
        check(library_.close_container(message.get()), "D-Bus message");
    }
    void append_flag(const Message& message, bool value) {
        check(library_.append(message.get(), "b", static_cast<int>(value)), "D-Bus message");
    }

    std::string property(const char* name) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char* raw = nullptr;
        const int result = library_.get_property_string(bus_, destination, manager_path, manager,
                                                        name, &error, &raw);
        library_.error_free(&error);
        check(result, name);
        const std::unique_ptr<char, decltype(&std::free)> text(raw, &std::free);
        return text.get();
    }

private:
    int open(const BusAddress& address) {
        int result = library_.bus_new(&bus_);
        if (result >= 0) result = library_.set_address(bus_, address.address.c_str());
        if (result >= 0) result = library_.set_bus_client(bus_, address.is_bus ? 1 : 0);
        if (result >= 0) result = library_.start(bus_);
        if (result >= 0) {
            is_bus_ = address.is_bus;
            return 0;
        }
        if (bus_) bus_ = library_.close(bus_);
        return -result;
    }

    static int job_removed(sd_bus_message* message, void* self, sd_bus_error* /*error*/) noexcept {
        auto& connection = *static_cast<Connection*>(self);
        std::uint32_t id = 0;
        const char *job = nullptr, *unit = nullptr, *result = nullptr;
        // What cannot be read is no answer to anything: the wait ends by its time.
        if (connection.library_.read(message, "uoss", &id, &job, &unit, &result) >= 0) {
            connection.ended_[job] = result;
        }
        return 0;
    }

    template <typename T>
    void append_variant(const Message& message, const T& value) {
        sd_bus_message* const raw = message.get();
        if constexpr (std::is_same_v<T, bool>) {
            check(library_.append(raw, "v", "b", static_cast<int>(value)), "D-Bus message");
        } else if constexpr (std::is_same_v<T, std::uint64_t>) {
            check(library_.append(raw, "v", "t", value), "D-Bus message");
        } else if constexpr (std::is_same_v<T, std::string>) {
            check(library_.append(raw, "v", "s", value.c_str()), "D-Bus message");
        } else {
            using Item = typename T::value_type;
            constexpr bool bytes = std::is_same_v<Item, std::uint8_t>;
            check(library_.open_container(raw, 'v', bytes ? "ay" : "au"), "D-Bus message");
            check(library_.append_array(raw, bytes ? 'y' : 'u', value.data(),
                                        value.size() * sizeof(Item)),
                  "D-Bus message");
            check(library_.close_container(raw), "D-Bus message");
        }
    }

    const Library& library_;
    sd_bus* bus_ = nullptr;
    bool is_bus_ = false;
    std::map<std::string, std::string> ended_;  ///< jobs and their results
};

void forget_failed(Connection& connection, const std::string& name) {
    try {
        const Message request = connection.request("ResetFailedUnit");
        connection.append(request, name);
        (void)connection.call(request);
    } catch (const Refused&) {
        // It has not failed, or is not there: as it should be.
    }
}

bool stop_unit(Connection& connection, const std::string& name, Clock::time_point deadline) {
    const Message request = connection.request("StopUnit");
    connection.append(request, name);
    connection.append(request, std::string("replace"));
    std::string job;
    try {
        job = connection.call_for_job(request);
    } catch (const Refused& refused) {
        if (refused.is("NoSuchUnit")) return true;
        throw;
    }
    const bool ended = connection.wait_job(job, deadline).has_value();
    forget_failed(connection, name);
    return ended;
}

/// False when there is a unit of that name.
bool start_transient(Connection& connection, const std::string& name,
                     const std::vector<UnitProperty>& properties, std::string& job) {
    const Message request = connection.request("StartTransientUnit");
    connection.append(request, name);
    connection.append(request, std::string("replace"));
    connection.append(request, properties);
    connection.append_nothing(request, "(sa(sv))");
    try {
        job = connection.call_for_job(request);
        return true;
    } catch (const Refused& refused) {
        if (refused.is("UnitExists")) return false;
        throw;
    }
}

}  // namespace

std::vector<BusAddress> system_addresses() {
    const char* const given = std::getenv("DBUS_SYSTEM_BUS_ADDRESS");
    if (given != nullptr && *given != '\0') return {{.address = given, .is_bus = true}};
    return {{.address = "unix:path=/run/systemd/private", .is_bus = false},
            {.address = "unix:path=/run/dbus/system_bus_socket", .is_bus = true}};
}

void Units::start(const std::string& name, const std::vector<UnitProperty>& properties) const {
    const base::LongWait wait;
    Connection connection(addresses_);
    connection.watch_jobs();
    const auto deadline = Clock::now() + longest_wait;
    std::string job;
    if (!start_transient(connection, name, properties, job)) {
        (void)stop_unit(connection, name, deadline);
        if (!start_transient(connection, name, properties, job)) {
            base::fail(ErrorKind::internal,
                       fmt::format("Unit {} was already loaded or has a fragment file.", name));
        }
    }
    const auto result = connection.wait_job(job, deadline);
    if (result == "done") return;
    forget_failed(connection, name);
    if (!result) {
        base::fail(ErrorKind::internal, "Timeout waiting for systemd to create " + name);
    }
    base::fail(ErrorKind::internal,
               fmt::format("error creating systemd unit `{}`: got `{}`", name, *result));
}

bool Units::stop(const std::string& name, std::chrono::milliseconds patience) const {
    const base::LongWait wait;
    Connection connection(addresses_);
    connection.watch_jobs();
    return stop_unit(connection, name, Clock::now() + patience);
}

void Units::set(const std::string& name, const std::vector<UnitProperty>& properties) const {
    const base::LongWait wait;
    Connection connection(addresses_);
    const Message request = connection.request("SetUnitProperties");
    connection.append(request, name);
    connection.append_flag(request, /*value=*/true);  // not for a unit of that name later
    connection.append(request, properties);
    (void)connection.call(request);
    // systemd writes the cgroup's files after its answer, but before it looks at the next question:
    // what is written there from here on stays.
    (void)connection.property("Version");
}

int Units::version() const {
    Connection connection(addresses_);
    return parse_version(connection.property("Version"));
}

}  // namespace dockerd::runtime::systemd
