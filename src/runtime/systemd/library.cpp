#include "systemd/library.hpp"

#include <dlfcn.h>

#include <string>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime::systemd {

namespace {

template <typename Function>
void find(void* handle, const char* name, Function& function) {
    function = reinterpret_cast<Function>(::dlsym(handle, name));
    if (!function) {
        base::fail(base::ErrorKind::internal, std::string("libsystemd has no ") + name);
    }
}

Library load() {
    void* const handle = ::dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        base::fail(base::ErrorKind::internal,
                   std::string("the systemd cgroup driver needs libsystemd: ") + ::dlerror());
    }
    Library out;
    find(handle, "sd_bus_new", out.bus_new);
    find(handle, "sd_bus_set_address", out.set_address);
    find(handle, "sd_bus_set_bus_client", out.set_bus_client);
    find(handle, "sd_bus_start", out.start);
    find(handle, "sd_bus_flush_close_unref", out.close);
    find(handle, "sd_bus_match_signal", out.match_signal);
    find(handle, "sd_bus_process", out.process);
    find(handle, "sd_bus_wait", out.wait);
    find(handle, "sd_bus_call", out.call);
    find(handle, "sd_bus_get_property_string", out.get_property_string);
    find(handle, "sd_bus_error_free", out.error_free);
    find(handle, "sd_bus_message_new_method_call", out.new_method_call);
    find(handle, "sd_bus_message_append", out.append);
    find(handle, "sd_bus_message_append_array", out.append_array);
    find(handle, "sd_bus_message_open_container", out.open_container);
    find(handle, "sd_bus_message_close_container", out.close_container);
    find(handle, "sd_bus_message_read", out.read);
    find(handle, "sd_bus_message_unref", out.message_unref);
    return out;
}

}  // namespace

const Library& library() {
    static const Library loaded = load();  // tried again when it throws
    return loaded;
}

}  // namespace dockerd::runtime::systemd
