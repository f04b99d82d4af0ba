#include "init/title.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace dockerd::runtime::init {

namespace {

char* area = nullptr;
std::size_t area_size = 0;

}  // namespace

void keep_title_area(char** arguments, char** environment) {
    if (arguments[0] == nullptr) return;
    char* end = arguments[0];
    // One string lies behind the other, arguments first.
    for (char** list : {arguments, environment}) {
        for (; *list != nullptr && *list == end; ++list) end += std::strlen(end) + 1;
    }
    area = arguments[0];
    area_size = static_cast<std::size_t>(end - area);
}

void set_title(std::string_view title) {
    if (area == nullptr) return;
    const std::size_t size = std::min(title.size(), area_size - 1);
    std::memcpy(area, title.data(), size);
    std::memset(area + size, 0, area_size - size);
}

}  // namespace dockerd::runtime::init
