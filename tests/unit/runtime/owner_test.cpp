#include <dockerd/runtime/file_view.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::runtime {
namespace {

class Owner : public testing::Test {
protected:
    void SetUp() override {
        std::string name = testing::TempDir() + "ownerXXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder = name;
        std::filesystem::create_directory(folder + "/etc");
        root = base::Fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    void write_files() const {
        std::ofstream(folder + "/etc/passwd") << "root:x:0:0::/:/bin/sh\nann:x:7:8::/:\n";
        std::ofstream(folder + "/etc/group") << "root:x:0:\nclub:x:9:ann\n";
    }
    std::pair<unsigned, unsigned> look_up(const char* user) const {
        const FileOwner owner = look_up_owner(root.get(), user);
        return {owner.uid, owner.gid};
    }
    std::string error_of(const char* user) const {
        try {
            (void)look_up_owner(root.get(), user);
        } catch (const base::Error& error) {
            EXPECT_EQ(error.kind(), base::ErrorKind::invalid_argument);
            return error.what();
        }
        return "";
    }

    std::string folder;
    base::Fd root;
};

TEST_F(Owner, NamesAndNumbersAreLookedUpInTheContainersFiles) {
    using Pair = std::pair<unsigned, unsigned>;
    write_files();
    EXPECT_EQ(look_up("ann"), (Pair{7, 8}));
    EXPECT_EQ(look_up("7"), (Pair{7, 8}));
    EXPECT_EQ(look_up("70"), (Pair{70, 0}));
    EXPECT_EQ(look_up("ann:club"), (Pair{7, 9}));
    EXPECT_EQ(look_up("ann:90"), (Pair{7, 90}));
    EXPECT_EQ(look_up(":club"), (Pair{0, 9}));
    EXPECT_EQ(look_up("7:"), (Pair{7, 8}));
}

TEST_F(Owner, WhoIsNotThereIsAnError) {
    const std::string missing = "open /etc/passwd: no such file or directory";
    EXPECT_EQ(error_of("bob"), "failed to look up user \"bob\" in container: " + missing);
    EXPECT_EQ(look_up("5"), (std::pair<unsigned, unsigned>{5, 0}));
    write_files();
    EXPECT_EQ(error_of("bob"),
              "failed to look up user \"bob\" in container: no matching entries in passwd file");
    EXPECT_EQ(error_of("ann:none"),
              "failed to look up group \"none\" in container: no matching entries in group file");
    // Too large for a user id: a name, and an unknown one.
    EXPECT_EQ(error_of("4294967296"),
              "failed to look up user \"4294967296\" in container: no "
              "matching entries in passwd file");
    EXPECT_NE(error_of("2147483648"), "");
}

}  // namespace
}  // namespace dockerd::runtime
