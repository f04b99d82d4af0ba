#pragma once

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <dockerd/base/fd.hpp>

namespace dockerd::runtime {

/// Stands for the manager of systemd, on a socket of its own: takes the calls of the daemon, keeps
/// units by their names, and tells the ends of their jobs.
class SystemdDouble {
public:
    SystemdDouble() {
        std::string name = testing::TempDir() + "systemdXXXXXX";
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        folder_ = name;
        sockaddr_un place{};
        place.sun_family = AF_UNIX;
        (folder_ + "/private").copy(place.sun_path, sizeof place.sun_path - 1);
        listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        stop_.reset(::eventfd(0, EFD_CLOEXEC));
        if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&place), sizeof place) != 0 ||
            ::listen(listener_.get(), 16) != 0) {
            std::abort();
        }
        thread_ = std::thread([this] { serve(); });
    }
    SystemdDouble(const SystemdDouble&) = delete;
    SystemdDouble& operator=(const SystemdDouble&) = delete;
    ~SystemdDouble() {
        const std::uint64_t one = 1;
        (void)!::write(stop_.get(), &one, sizeof one);
        thread_.join();
        ::unlink((folder_ + "/private").c_str());
        ::rmdir(folder_.c_str());
    }

    [[nodiscard]] std::string address() const { return "unix:path=" + folder_ + "/private"; }

    /// What was called, each a line: member, arguments, properties as name=value.
    std::vector<std::string> calls() {
        const std::lock_guard lock(mutex_);
        return calls_;
    }
    void put_unit(const std::string& name) {
        const std::lock_guard lock(mutex_);
        units_.insert(name);
    }
    bool has_unit(const std::string& name) {
        const std::lock_guard lock(mutex_);
        return units_.count(name) != 0;
    }
    /// How jobs end from here on; empty: not at all.
    void set_result(const std::string& result) {
        const std::lock_guard lock(mutex_);
        result_ = result;
    }

private:
    struct Bus {
        SystemdDouble* owner = nullptr;
        sd_bus* bus = nullptr;
    };

    void serve() {
        std::vector<std::unique_ptr<Bus>> buses;
        for (;;) {
            std::vector<pollfd> waiting{{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
            for (const auto& one : buses) {
                const int events = sd_bus_get_events(one->bus);
                waiting.push_back({sd_bus_get_fd(one->bus),
                                   static_cast<short>(events > 0 ? events : POLLIN), 0});
            }
            if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
            if (waiting[0].revents != 0) break;
            if (waiting[1].revents != 0) buses.push_back(accept());
            std::erase_if(buses, [](const auto& one) {
                int done = 1;
                while (done > 0) done = sd_bus_process(one->bus, nullptr);
                if (done < 0) sd_bus_close_unref(one->bus);
                return done < 0;
            });
        }
        for (const auto& one : buses) sd_bus_flush_close_unref(one->bus);
    }

    std::unique_ptr<Bus> accept() {
        auto made = std::make_unique<Bus>();
        made->owner = this;
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_id128_t id{};
        id.bytes[0] = 1;
        if (fd < 0 || sd_bus_new(&made->bus) < 0 || sd_bus_set_fd(made->bus, fd, fd) < 0 ||
            sd_bus_set_server(made->bus, 1, id) < 0 ||
            sd_bus_add_filter(made->bus, nullptr, &SystemdDouble::take, made.get()) < 0 ||
            sd_bus_start(made->bus) < 0) {
            std::abort();
        }
        return made;
    }

    static int take(sd_bus_message* message, void* user, sd_bus_error* /*error*/) {
        auto& bus = *static_cast<Bus*>(user);
        if (sd_bus_message_is_method_call(message, nullptr, nullptr) <= 0) return 0;
        return bus.owner->answer(bus.bus, message);
    }

    int answer(sd_bus* bus, sd_bus_message* message) {
        const std::lock_guard lock(mutex_);
        const std::string member = sd_bus_message_get_member(message);
        if (member == "Get") return sd_bus_reply_method_return(message, "v", "s", "252.38-1~deb12u1");
        const char *name = "", *mode = "";
        (void)sd_bus_message_read(message, "s", &name);
        std::string line = member + " " + name;
        if (member == "SetUnitProperties") {
            int runtime = 0;
            (void)sd_bus_message_read(message, "b", &runtime);
            calls_.push_back(line + (runtime != 0 ? " runtime" : "") + properties(message));
            return sd_bus_reply_method_return(message, "");
        }
        if (member == "ResetFailedUnit") {
            calls_.push_back(line);
            return refuse(message, "NoSuchUnit", "Unit not loaded.");
        }
        (void)sd_bus_message_read(message, "s", &mode);
        line += std::string(" ") + mode;
        const bool start = member == "StartTransientUnit";
        calls_.push_back(line + (start ? properties(message) : ""));
        const bool there = units_.count(name) != 0;
        if (start && there) return refuse(message, "UnitExists", "Unit already exists.");
        if (!start && !there) return refuse(message, "NoSuchUnit", "Unit not loaded.");
        const std::string job = "/org/freedesktop/systemd1/job/" + std::to_string(++jobs_);
        (void)sd_bus_reply_method_return(message, "o", job.c_str());
        if (result_.empty()) return 1;
        if (start && result_ == "done") units_.insert(name);
        if (!start) units_.erase(name);
        (void)sd_bus_emit_signal(bus, "/org/freedesktop/systemd1",
                                 "org.freedesktop.systemd1.Manager", "JobRemoved", "uoss", jobs_,
                                 job.c_str(), name, result_.c_str());
        return 1;
    }

    static int refuse(sd_bus_message* message, const char* error, const char* text) {
        const std::string name = std::string("org.freedesktop.systemd1.") + error;
        return sd_bus_reply_method_errorf(message, name.c_str(), "%s", text);
    }

    static std::string properties(sd_bus_message* message) {
        std::string out;
        (void)sd_bus_message_enter_container(message, 'a', "(sv)");
        while (sd_bus_message_enter_container(message, 'r', "sv") > 0) {
            const char* name = "";
            (void)sd_bus_message_read(message, "s", &name);
            out += std::string(" ") + name + "=" + value(message);
            (void)sd_bus_message_exit_container(message);
        }
        (void)sd_bus_message_exit_container(message);
        return out;
    }

    /// A value with its type: "t:5", "ay:1,2".
    static std::string value(sd_bus_message* message) {
        char type = 0;
        const char* contents = "";
        (void)sd_bus_message_peek_type(message, &type, &contents);
        const std::string kind = contents;
        (void)sd_bus_message_enter_container(message, 'v', contents);
        std::string out = kind + ":";
        if (kind == "b") {
            int flag = 0;
            (void)sd_bus_message_read(message, "b", &flag);
            out += flag != 0 ? "true" : "false";
        } else if (kind == "t") {
            std::uint64_t number = 0;
            (void)sd_bus_message_read(message, "t", &number);
            out += std::to_string(number);
        } else if (kind == "s") {
            const char* text = "";
            (void)sd_bus_message_read(message, "s", &text);
            out += text;
        } else {
            const void* items = nullptr;
            std::size_t size = 0;
            (void)sd_bus_message_read_array(message, kind[1], &items, &size);
            const std::size_t width = kind == "ay" ? 1 : 4;
            for (std::size_t at = 0; at < size; at += width) {
                std::uint32_t item = 0;
                std::memcpy(&item, static_cast<const char*>(items) + at, width);
                out += (at == 0 ? "" : ",") + std::to_string(item);
            }
        }
        (void)sd_bus_message_exit_container(message);
        return out;
    }

    std::string folder_;
    base::Fd listener_, stop_;
    std::thread thread_;
    std::mutex mutex_;
    std::vector<std::string> calls_;
    std::set<std::string> units_;
    std::string result_ = "done";
    std::uint32_t jobs_ = 0;
};

}  // namespace dockerd::runtime
