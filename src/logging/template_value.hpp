#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dockerd::logging {

struct TemplateRoot {};  ///< the dot: a logger.Info
struct TemplateNil {};

using TextMap = std::map<std::string, std::string>;
using TextList = std::vector<std::string>;

/// A value in a tag template.
using TemplateValue =
    std::variant<TemplateNil, TemplateRoot, std::string, std::int64_t, bool, TextList, TextMap>;
using TemplateValues = std::vector<TemplateValue>;

/// As Go's fmt prints it with %v.
std::string value_text(const TemplateValue& value);
/// False for what is empty.
bool is_true(const TemplateValue& value);

/// Whether templates have a function of this name.
bool is_template_function(std::string_view name);
/// Calls it. Throws: internal, what Go says of wrong arguments.
TemplateValue call_template_function(const std::string& name, const TemplateValues& arguments);

}  // namespace dockerd::logging
