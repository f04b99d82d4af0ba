// Prints what the package carries beside the daemon: `dockerd_manual man`, `dockerd_manual bash`.
#include <cstdio>
#include <string>
#include <string_view>

#include "app/manual.hpp"

int main(int argc, char** argv) {
    const std::string_view what = argc == 2 ? argv[1] : "";
    if (what != "man" && what != "bash") {
        (void)std::fputs("usage: dockerd_manual man|bash\n", stderr);
        return 2;
    }
    const std::string text =
        what == "man" ? dockerd::app::manual_page() : dockerd::app::bash_completion();
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
