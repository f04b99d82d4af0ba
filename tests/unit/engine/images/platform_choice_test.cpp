#include <gtest/gtest.h>

#include "engine/images/platform.hpp"

namespace dockerd::engine {
namespace {

std::vector<std::string> choices(const char* text) {
    std::vector<std::string> out;
    for (const auto& platform : platform_choices(Platform::parse(text))) out.push_back(platform.text());
    return out;
}

using Texts = std::vector<std::string>;

// Source: containerd/platforms compare.go, platformVector.
TEST(PlatformChoices, AreTheVariantAndWhatItRunsToo) {
    EXPECT_EQ(choices("linux/amd64"), (Texts{"linux/amd64", "linux/386"}));
    EXPECT_EQ(choices("linux/amd64/v3"),
              (Texts{"linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"}));
    EXPECT_EQ(choices("linux/arm/v7"), (Texts{"linux/arm/v7", "linux/arm/v6", "linux/arm/v5"}));
    EXPECT_EQ(choices("linux/arm64"), (Texts{"linux/arm64", "linux/arm/v8", "linux/arm/v7",
                                             "linux/arm/v6", "linux/arm/v5"}));
    EXPECT_EQ(choices("linux/s390x"), (Texts{"linux/s390x"}));
}

TEST(PlatformChoices, RankWhatIsOffered) {
    const auto own = platform_choices(Platform::parse("linux/arm/v7"));
    EXPECT_EQ(choice_rank(own, {"linux", "arm", "v7"}), 0U);
    EXPECT_EQ(choice_rank(own, {"linux", "armel", ""}), 1U);
    EXPECT_EQ(choice_rank(own, {"linux", "arm64", ""}), own.size());
    EXPECT_EQ(choice_rank(own, {"windows", "arm", "v7"}), own.size());
}

}  // namespace
}  // namespace dockerd::engine
