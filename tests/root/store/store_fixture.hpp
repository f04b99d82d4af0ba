#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <dockerd/archive/stream.hpp>
#include <dockerd/archive/tar.hpp>

#include "support/own_mounts.hpp"
#include "support/unpacker.hpp"

namespace dockerd::store {

/// A data root in a mount namespace of its own.
class StoreFixture : public ::testing::Test {
protected:
    void SetUp() override {
        DOCKERD_TEST_NEEDS(::geteuid() == 0 && test_support::own_mounts(),
                           "needs root and a mount namespace");
        const char* const base = std::getenv("DOCKERD_TEST_DIR");
        std::string pattern =
            std::string(base != nullptr ? base : "/var/tmp") + "/store-test-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        root_ = pattern;
    }
    void TearDown() override {
        if (!root_.empty()) {
            // Mounts vanish with the namespace; detach them so that the folders can go.
            for (const auto& item : mounts_below()) ::umount2(item.c_str(), MNT_DETACH);
            std::filesystem::remove_all(root_);
        }
    }

    std::vector<std::string> mounts_below() const {
        std::vector<std::string> out;
        std::ifstream table("/proc/self/mounts");
        std::string device;
        std::string target;
        std::string rest;
        while (table >> device >> target && std::getline(table, rest)) {
            if (target.starts_with(root_ + "/")) out.insert(out.begin(), target);
        }
        return out;
    }

    static std::string slurp(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        std::ostringstream out;
        out << file.rdbuf();
        return out.str();
    }

    std::string root_;
};

/// Builds tars for tests.
class TarBuilder {
public:
    TarBuilder() : writer_([this](std::string_view bytes) { bytes_ += bytes; }) {}

    TarBuilder& dir(const std::string& name, unsigned mode = 0755) {
        return put(name + "/", '5', mode, {}, {});
    }
    TarBuilder& file(const std::string& name, const std::string& content, unsigned mode = 0644) {
        return put(name, '0', mode, content, {});
    }
    TarBuilder& link(const std::string& name, const std::string& target) {
        return put(name, '2', 0777, {}, target);
    }
    TarBuilder& hard_link(const std::string& name, const std::string& target) {
        return put(name, '1', 04755, {}, target);
    }
    TarBuilder& entry(const archive::TarEntry& entry, const std::string& content = {}) {
        writer_.add(entry, content);
        return *this;
    }
    std::string take() {
        writer_.finish();
        return std::move(bytes_);
    }

private:
    TarBuilder& put(const std::string& name, char flag, unsigned mode, const std::string& content,
                    const std::string& target) {
        archive::TarEntry entry;
        entry.name = name;
        entry.type_flag = flag;
        entry.mode = mode;
        entry.size = static_cast<std::int64_t>(content.size());
        entry.link_name = target;
        entry.mtime = base::WallTime(1'600'000'000, 0);
        writer_.add(entry, content);
        return *this;
    }

    std::string bytes_;
    archive::TarWriter writer_;
};

inline std::string drain(const archive::ByteSource& source) {
    std::string out;
    (void)archive::copy(source, [&](std::string_view bytes) { out += bytes; });
    return out;
}

}  // namespace dockerd::store
