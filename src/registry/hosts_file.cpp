#include "hosts_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include <toml++/toml.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/fd.hpp>

namespace dockerd::registry {
namespace {

constexpr std::size_t max_size = 1U << 20U;

/// The file's text; nothing when it is not there.
std::optional<std::string> read_text(const std::string& file) {
    const base::Fd fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd && errno == ENOENT) return std::nullopt;
    std::string out(max_size + 1, '\0');
    std::size_t have = 0;
    for (ssize_t n = 1; fd && n > 0 && have < out.size();) {
        n = ::read(fd.get(), out.data() + have, out.size() - have);
        if (n < 0 && errno == EINTR) n = 1;
        else if (n < 0) base::throw_errno(errno, "read " + file);
        else have += static_cast<std::size_t>(n);
    }
    if (!fd) base::throw_errno(errno, "open " + file);
    if (have > max_size) {
        base::fail(base::ErrorKind::invalid_argument, file + ": larger than a mebibyte");
    }
    out.resize(have);
    return out;
}

/// Turns the file's tables into hosts.
class Reader {
public:
    Reader(std::string folder, std::string file)
        : folder_(std::move(folder)), file_(std::move(file)) {}

    HostsFile read(const toml::table& root) const {
        HostsFile out;
        if (const auto server = text_of(root, "server")) {
            out.server = host_of(root, *server);
        }
        const toml::node* const all = root.get("host");
        if (all == nullptr) return out;
        if (!all->is_table()) refuse(*all, "\"host\" must be a table");
        // The order counts, and the parser's table has its own.
        std::map<std::pair<unsigned, unsigned>, HostsFile::Host> sorted;
        for (const auto& [key, value] : *all->as_table()) {
            if (!value.is_table()) refuse(value, "a host must be a table");
            const auto begin = key.source().begin;
            sorted.emplace(std::pair{begin.line, begin.column},
                           host_of(*value.as_table(), std::string(key.str())));
        }
        for (auto& [place, host] : sorted) out.hosts.push_back(std::move(host));
        return out;
    }

private:
    [[noreturn]] void refuse(const toml::node& at, const std::string& why) const {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("{}: line {}: {}", file_, at.source().begin.line, why));
    }

    std::optional<std::string> text_of(const toml::table& table, std::string_view key) const {
        const toml::node* const node = table.get(key);
        if (node == nullptr) return std::nullopt;
        if (!node->is_string()) refuse(*node, fmt::format("\"{}\" must be a string", key));
        return node->as_string()->get();
    }

    bool flag_of(const toml::table& table, std::string_view key) const {
        const toml::node* const node = table.get(key);
        if (node == nullptr) return false;
        if (!node->is_boolean()) refuse(*node, fmt::format("\"{}\" must be true or false", key));
        return node->as_boolean()->get();
    }

    /// One string or a list of them.
    std::vector<std::string> texts_of(const toml::node& node, std::string_view key) const {
        if (node.is_string()) return {node.as_string()->get()};
        std::vector<std::string> out;
        if (const toml::array* const list = node.as_array()) {
            for (const toml::node& item : *list) {
                if (!item.is_string()) break;
                out.push_back(item.as_string()->get());
            }
            if (out.size() == list->size()) return out;
        }
        refuse(node, fmt::format("\"{}\" must be a string or a list of strings", key));
    }

    [[nodiscard]] std::string path_of(const std::string& name) const {
        return name.starts_with('/') ? name : folder_ + "/" + name;
    }

    /// Files with a certificate and its key each, or pairs of both.
    void read_clients(const toml::node& node, http::ClientTlsOptions& out) const {
        const toml::array* const list = node.as_array();
        const bool pairs = list != nullptr && !list->empty() && list->front().is_array();
        if (!pairs) {
            for (const std::string& name : texts_of(node, "client")) {
                out.certificates.emplace_back(path_of(name), path_of(name));
            }
            return;
        }
        for (const toml::node& item : *list) {
            const auto pair = texts_of(item, "client");
            if (pair.empty() || pair.size() > 2) refuse(item, "a certificate has one key");
            const std::string& key = pair.back().empty() ? pair.front() : pair.back();
            out.certificates.emplace_back(path_of(pair.front()), path_of(key));
        }
    }

    void read_headers(const toml::node& node, http::Headers& out) const {
        if (!node.is_table()) refuse(node, "\"header\" must be a table");
        for (const auto& [key, value] : *node.as_table()) {
            for (const std::string& text : texts_of(value, key.str())) {
                out.add(std::string(key.str()), text);
            }
        }
    }

    HostsFile::Host host_of(const toml::table& table, std::string url) const {
        HostsFile::Host out;
        if (url.find("://") == std::string::npos) url = "https://" + url;
        try {
            out.url = http::Url::parse(url);
        } catch (const base::Error& error) {
            refuse(table, error.what());
        }
        if (out.url.scheme != "https" && out.url.scheme != "http") {
            refuse(table, fmt::format("unsupported scheme of {}", url));
        }
        if (const toml::node* const node = table.get("capabilities")) {
            const auto all = texts_of(*node, "capabilities");
            const auto has = [&](const char* one) { return std::ranges::find(all, one) != all.end(); };
            out.pull = has("pull") && has("resolve");
            out.push = has("push");
        }
        out.own_path = flag_of(table, "override_path");
        out.tls.verify = !flag_of(table, "skip_verify");
        if (const toml::node* const node = table.get("ca")) {
            for (const std::string& name : texts_of(*node, "ca")) {
                out.tls.ca_files.push_back(path_of(name));
            }
        }
        if (const toml::node* const node = table.get("client")) read_clients(*node, out.tls);
        if (const toml::node* const node = table.get("header")) read_headers(*node, out.headers);
        return out;
    }

    std::string folder_;
    std::string file_;
};

}  // namespace

std::optional<HostsFile> read_hosts_file(const std::string& folder) {
    const std::string file = folder + "/hosts.toml";
    const auto text = read_text(file);
    if (!text) return std::nullopt;
    try {
        return Reader(folder, file).read(toml::parse(*text));
    } catch (const toml::parse_error& error) {
        base::fail(base::ErrorKind::invalid_argument,
                   fmt::format("{}: line {}: {}", file, error.source().begin.line,
                               error.description()));
    }
}

}  // namespace dockerd::registry
