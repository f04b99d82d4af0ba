#include "absent.hpp"

#include <nlohmann/json.hpp>

#include <dockerd/base/error.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/model/go_syntax.hpp>

namespace dockerd::api::codec {

void check_document(std::string_view body) {
    if (body.empty()) return;
    if (const auto error = model::scan_go_json(body).error; !error.empty()) {
        base::fail(base::ErrorKind::invalid_argument, "invalid JSON: " + error);
    }
}

std::string decode_listen_address(std::string_view body) {
    if (body.empty()) return "";
    check_document(body);
    const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return "";
    for (const auto& [key, value] : json.items()) {
        if (base::iequals(key, "ListenAddr") && value.is_string()) return value.get<std::string>();
    }
    return "";
}

}  // namespace dockerd::api::codec
