#include "debug.hpp"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/thread_dump.hpp>

#include "../codec/text.hpp"

namespace dockerd::api {

using http::Request;
using http::Response;

namespace {

/// The daemon's words, each followed by a zero byte.
std::string raw_command_line() {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

Response plain(int status, std::string text) {
    Response response = Response::text(status, std::move(text));
    response.headers.add("X-Content-Type-Options", "nosniff");
    return response;
}

}  // namespace

// GET /debug/vars. Source: Go expvar, Handler.
Response DebugHandlers::vars(const Request& /*request*/) {
    std::string raw = raw_command_line();
    if (raw.ends_with('\0')) raw.pop_back();
    codec::Text words;
    codec::put_array(words, base::split(raw, '\0'));
    const struct mallinfo2 heap = ::mallinfo2();
    Response response;
    response.headers.add("Content-Type", "application/json; charset=utf-8");
    response.body = fmt::format(
        "{{\n\"cmdline\": {},\n\"memstats\": {{\"Alloc\":{},\"Sys\":{},\"HeapIdle\":{}}}\n}}\n",
        words.text(), heap.uordblks + heap.hblkhd, heap.arena + heap.hblkhd, heap.fordblks);
    return response;
}

// GET /debug/pprof/
Response DebugHandlers::index(const Request& /*request*/) {
    Response response;
    response.headers = {{"Content-Type", "text/html; charset=utf-8"},
                        {"X-Content-Type-Options", "nosniff"}};
    response.body = fmt::format(
        "<html>\n<head>\n<title>/debug/pprof/</title>\n</head>\n<body>\n/debug/pprof/\n<table>\n"
        "<thead><td>Count</td><td>Profile</td></thead>\n"
        "<tr><td>{}</td><td><a href='goroutine?debug=1'>goroutine</a></td></tr>\n"
        "</table>\n<p>goroutine lists the threads of the daemon, which has no goroutines.</p>\n"
        "</body>\n</html>\n",
        system_.info().goroutines);
    return response;
}

// GET /debug/pprof/cmdline
Response DebugHandlers::command_line(const Request& /*request*/) {
    std::string text = raw_command_line();
    if (text.ends_with('\0')) text.pop_back();
    return plain(200, std::move(text));
}

// GET /debug/pprof/symbol: there are no symbols to look up, which is how Go says so.
Response DebugHandlers::symbol(const Request& /*request*/) { return plain(200, "num_symbols: 0\n"); }

// GET /debug/pprof/profile, trace
Response DebugHandlers::profile(const Request& /*request*/) {
    return plain(501, "profiles are not implemented; use perf(1) on the daemon's process\n");
}

// GET /debug/pprof/{name}. Source: Go net/http/pprof, handler.ServeHTTP.
Response DebugHandlers::named(const Request& request) {
    const std::string& name = request.path_param("name");
    if (name == "goroutine" || name == "threadcreate") return plain(200, base::thread_dump());
    constexpr std::array known{"allocs", "block", "heap", "mutex"};
    if (std::ranges::find(known, name) != known.end()) return profile(request);
    Response response = plain(404, "Unknown profile\n");
    response.headers.add("X-Go-Pprof", "1");
    return response;
}

}  // namespace dockerd::api
