#include "cdi/yaml.hpp"

#include <yaml.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <dockerd/base/error.hpp>

namespace dockerd::engine::cdi {
namespace {

constexpr int deepest = 64;
/// Of all nodes together, counted wherever an alias repeats them, with what they take in memory.
constexpr std::size_t most_bytes = 32UL << 20U;

[[noreturn]] void bad(const std::string& text) {
    base::fail(base::ErrorKind::internal, "yaml: " + text);
}

/// One event of the parser; its memory is libyaml's.
class Event {
public:
    explicit Event(yaml_parser_t& parser) {
        if (::yaml_parser_parse(&parser, &raw_) == 0) {
            bad(fmt::format("line {}: {}", parser.problem_mark.line + 1,
                            parser.problem == nullptr ? "out of memory" : parser.problem));
        }
    }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event() { ::yaml_event_delete(&raw_); }

    [[nodiscard]] const yaml_event_t& raw() const { return raw_; }

private:
    yaml_event_t raw_{};
};

std::string text_of(const yaml_char_t* text) {
    return text == nullptr ? std::string() : reinterpret_cast<const char*>(text);
}

/// Source: YAML 1.1, null.
bool is_null(const YamlNode& node, bool plain) {
    return plain && (node.text.empty() || node.text == "~" || node.text == "null" ||
                     node.text == "Null" || node.text == "NULL");
}

class Reader {
public:
    explicit Reader(std::string_view text) {
        if (::yaml_parser_initialize(&parser_) == 0) bad("out of memory");
        ::yaml_parser_set_input_string(
            &parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { ::yaml_parser_delete(&parser_); }

    YamlNode document() {
        for (;;) {
            const Event event(parser_);
            if (event.raw().type == YAML_STREAM_END_EVENT) return {};
            if (event.raw().type == YAML_DOCUMENT_START_EVENT) break;
        }
        return *value(0);
    }

private:
    /// nullopt at the end of the list or map.
    std::optional<YamlNode> value(int depth) {
        if (depth > deepest) bad("exceeded max depth");
        const Event event(parser_);
        const auto& raw = event.raw();
        YamlNode node;
        std::string anchor;
        switch (raw.type) {
            case YAML_SCALAR_EVENT:
                node.kind = YamlNode::Kind::scalar;
                node.text.assign(reinterpret_cast<const char*>(raw.data.scalar.value),
                                 raw.data.scalar.length);
                anchor = text_of(raw.data.scalar.anchor);
                if (is_null(node, raw.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)) node = {};
                break;
            case YAML_SEQUENCE_START_EVENT:
                node.kind = YamlNode::Kind::list;
                anchor = text_of(raw.data.sequence_start.anchor);
                while (auto item = value(depth + 1)) node.items.push_back(std::move(*item));
                break;
            case YAML_MAPPING_START_EVENT:
                node.kind = YamlNode::Kind::map;
                anchor = text_of(raw.data.mapping_start.anchor);
                read_map(node, depth);
                break;
            case YAML_ALIAS_EVENT: {
                const auto found = anchors_.find(text_of(raw.data.alias.anchor));
                if (found == anchors_.end()) {
                    bad("unknown anchor '" + text_of(raw.data.alias.anchor) + "' referenced");
                }
                count(size_of(found->second));
                return found->second;
            }
            default:
                return std::nullopt;
        }
        count(sizeof node + node.text.size());
        if (!anchor.empty()) {
            count(size_of(node));  // a copy, which each level of nested anchors has of its own
            anchors_[anchor] = node;
        }
        return node;
    }

    void read_map(YamlNode& node, int depth) {
        while (auto key = value(depth + 1)) {
            if (key->kind != YamlNode::Kind::scalar) bad("a key is not a text");
            const auto same = std::ranges::find(
                node.fields, key->text, &std::pair<std::string, YamlNode>::first);
            if (same != node.fields.end()) bad("key \"" + key->text + "\" already set in map");
            count(sizeof key->text + key->text.size());
            auto field = value(depth + 1);
            node.fields.emplace_back(std::move(key->text), field ? std::move(*field) : YamlNode());
        }
    }

    static std::size_t size_of(const YamlNode& node) {
        std::size_t size = sizeof node + node.text.size();
        for (const auto& item : node.items) size += size_of(item);
        for (const auto& [key, field] : node.fields) {
            size += sizeof key + key.size() + size_of(field);
        }
        return size;
    }
    void count(std::size_t more) {
        bytes_ += more;
        if (bytes_ > most_bytes) bad("document contains excessive aliasing");
    }

    yaml_parser_t parser_{};
    std::map<std::string, YamlNode> anchors_;
    std::size_t bytes_ = 0;
};

}  // namespace

YamlNode parse_yaml(std::string_view text) { return Reader(text).document(); }

}  // namespace dockerd::engine::cdi
