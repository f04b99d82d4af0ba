#pragma once

#include <dockerd/http/message.hpp>

namespace dockerd::api {

/// Whether a request over the network comes from a web page that has no business here: one of
/// another site, or one whose name merely leads to this machine (DNS rebinding). Browsers mark
/// what changes something, web sockets, and requests of other sites with Origin or
/// Sec-Fetch-Site, and tell their User-Agent; no other client is held to anything. A page whose own name leads here can
/// still read: its plain GET looks like any client's.
///
/// `host_name` is this machine's.
bool comes_from_a_web_page(const http::Request& request, std::string_view host_name);

}  // namespace dockerd::api
