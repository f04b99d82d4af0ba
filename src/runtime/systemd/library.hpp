#pragma once

#include <systemd/sd-bus.h>

namespace dockerd::runtime::systemd {

/// What is used of libsystemd.
struct Library {
    decltype(&::sd_bus_new) bus_new = nullptr;
    decltype(&::sd_bus_set_address) set_address = nullptr;
    decltype(&::sd_bus_set_bus_client) set_bus_client = nullptr;
    decltype(&::sd_bus_start) start = nullptr;
    decltype(&::sd_bus_flush_close_unref) close = nullptr;
    decltype(&::sd_bus_match_signal) match_signal = nullptr;
    decltype(&::sd_bus_process) process = nullptr;
    decltype(&::sd_bus_wait) wait = nullptr;
    decltype(&::sd_bus_call) call = nullptr;
    decltype(&::sd_bus_get_property_string) get_property_string = nullptr;
    decltype(&::sd_bus_error_free) error_free = nullptr;
    decltype(&::sd_bus_message_new_method_call) new_method_call = nullptr;
    decltype(&::sd_bus_message_append) append = nullptr;
    decltype(&::sd_bus_message_append_array) append_array = nullptr;
    decltype(&::sd_bus_message_open_container) open_container = nullptr;
    decltype(&::sd_bus_message_close_container) close_container = nullptr;
    decltype(&::sd_bus_message_read) read = nullptr;
    decltype(&::sd_bus_message_unref) message_unref = nullptr;
};

/// Loads it with the first call; it stays. Throws: internal, with the loader's words.
const Library& library();

}  // namespace dockerd::runtime::systemd
