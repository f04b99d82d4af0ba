#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace dockerd::runtime {

/// A folder of plain files that stands for mounted cgroup hierarchies.
class RecordedCgroups : public testing::Test {
protected:
    void SetUp() override {
        std::string name = testing::TempDir() + "cgroupsXXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root = name;
    }
    void TearDown() override { std::filesystem::remove_all(root); }

    void put(const std::string& path, const std::string& content = "") {
        const auto file = std::filesystem::path(root) / path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << content;
    }
    void put_all(const std::string& folder,
                 std::initializer_list<std::pair<std::string, std::string>> list) {
        for (const auto& [name, content] : list) put(folder + "/" + name, content);
    }
    [[nodiscard]] std::string get(const std::string& path) const {
        std::ifstream file(std::filesystem::path(root) / path);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    std::string root;
};

}  // namespace dockerd::runtime
