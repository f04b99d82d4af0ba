#include <dockerd/runtime/capabilities.hpp>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {
namespace {

constexpr CapabilitySet every = (CapabilitySet{1} << 41) - 1;
const CapabilityScope full{.known = every, .available = every};
const CapabilityScope no_resource{.known = every, .available = every & ~(CapabilitySet{1} << 24)};

template <typename Body>
std::string error_of(Body body) {
    try {
        body();
    } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
        return error.what();
    }
    return "no error";
}

TEST(Capabilities, DefaultSetHasDockersFourteen) {
    EXPECT_EQ(default_capabilities(), 0xa80425fbULL);
    EXPECT_EQ(capability_names(default_capabilities()).size(), 14u);
}

TEST(Capabilities, AddsAndDrops) {
    EXPECT_EQ(container_capabilities({"sys_admin"}, {"CAP_CHOWN"}, false, full),
              (0xa80425fbULL & ~1ULL) | (1ULL << 21));
    EXPECT_EQ(container_capabilities({"ALL"}, {"MKNOD"}, false, full), every & ~(1ULL << 27));
    EXPECT_EQ(container_capabilities({"kill"}, {"all"}, false, full), 1ULL << 5);
    EXPECT_EQ(container_capabilities({}, {"ALL"}, false, full), 0u);
    EXPECT_EQ(container_capabilities({}, {"ALL"}, true, full), every) << "privileged wins";
}

TEST(Capabilities, GrantsOnlyWhatTheDaemonHolds) {
    EXPECT_EQ(container_capabilities({}, {}, true, no_resource), no_resource.available);
    EXPECT_EQ(container_capabilities({"ALL"}, {}, false, no_resource), no_resource.available);
}

TEST(Capabilities, NamesWhatIsWrong) {
    EXPECT_EQ(error_of([] { validate_capabilities({"x"}, {}, full); }),
              "invalid CapAdd: unknown capability: \"CAP_X\"");
    EXPECT_EQ(error_of([] { validate_capabilities({}, {"cap_nope"}, full); }),
              "invalid CapDrop: unknown capability: \"CAP_NOPE\"");
    EXPECT_EQ(error_of([] { validate_capabilities({"SYS_RESOURCE"}, {}, no_resource); }),
              "invalid CapAdd: capability not supported by your kernel or not available in the "
              "current environment: \"CAP_SYS_RESOURCE\"");
    EXPECT_EQ(validate_capabilities({"net_admin", "all"}, {}, full).add,
              (std::vector<std::string>{"CAP_NET_ADMIN", "ALL"}));
}

}  // namespace
}  // namespace dockerd::runtime
