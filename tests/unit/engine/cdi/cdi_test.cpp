#include "engine/cdi/devices.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include <dockerd/base/error.hpp>

#include "engine/cdi/yaml.hpp"

namespace dockerd::engine::cdi {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

std::string error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "no error";
}

/// As nvidia-ctk writes it.
const char* const nvidia = R"(---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      hostPath: /dev/nvidia0
      fileMode: 0660
      gid: 44
- name: all
  containerEdits:
    deviceNodes: [{path: /dev/nvidia0, permissions: rw}]
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void]
  mounts:
  - hostPath: /usr/bin/nvidia-smi
    containerPath: /usr/bin/nvidia-smi
    options: [ro, nosuid, nodev, bind]
)";

TEST(CdiSpec, ReadsYaml) {
    const Spec spec = parse_spec(nvidia, "/etc/cdi/nvidia.yaml");
    EXPECT_EQ(spec.version + " " + spec.kind, "0.5.0 nvidia.com/gpu");
    ASSERT_EQ(spec.devices.size(), 2U);
    const auto& node = spec.devices[0].edits.device_nodes.at(0);
    EXPECT_EQ(node.path, "/dev/nvidia0");
    EXPECT_EQ(node.mode, 0660U);
    EXPECT_EQ(node.gid, 44U);
    EXPECT_EQ(node.uid, std::nullopt);
    EXPECT_EQ(spec.devices[1].edits.device_nodes.at(0).permissions, "rw");
    EXPECT_THAT(spec.edits.env, ElementsAre("NVIDIA_VISIBLE_DEVICES=void"));
    EXPECT_THAT(spec.edits.mounts.at(0).options, ElementsAre("ro", "nosuid", "nodev", "bind"));
}

TEST(CdiSpec, ReadsJson) {
    const Spec spec = parse_spec(
        R"({"cdiVersion": "v0.7.0", "kind": "a.b/c", "annotations": {"x": "y"},
            "devices": [{"name": "d", "containerEdits": {"env": ["A=\/b"], "additionalGids": [5, 0]}}],
            "containerEdits": null})",
        "/x.json");
    EXPECT_THAT(spec.devices.at(0).edits.env, ElementsAre("A=/b"));
    EXPECT_THAT(spec.devices.at(0).edits.additional_gids, ElementsAre(5U, 0U));
}

TEST(CdiSpec, RefusesWhatIsWrong) {
    const auto refusal = [](const std::string& text) {
        return error_of([&] { parse_spec(text, "/x.yaml"); });
    };
    const auto spec = [](const std::string& version, const std::string& kind,
                         const std::string& devices) {
        return "{cdiVersion: " + version + ", kind: " + kind + ", devices: [" + devices + "]}";
    };
    const std::string good = "{name: d, containerEdits: {env: [A=b]}}";
    EXPECT_EQ(refusal(spec("0.3.0", "v.com/c", good)), "no error");
    EXPECT_EQ(refusal(""), "failed to parse CDI Spec \"/x.yaml\": no Spec data");
    EXPECT_EQ(refusal("{a"),
              "failed to parse CDI Spec \"/x.yaml\": yaml: line 2: did not find expected ',' or '}'");
    EXPECT_EQ(refusal("{cdiVersion: 0.3.0, wrong: 1}"),
              "failed to parse CDI Spec \"/x.yaml\": failed to unmarshal CDI Spec: error unmarshaling "
              "JSON: while decoding JSON: json: unknown field \"wrong\"");
    EXPECT_EQ(refusal(spec("9", "v.com/c", good)), "invalid CDI Spec: invalid version \"9\"");
    EXPECT_EQ(refusal(spec("0.3.0", "v.com", good)), "invalid CDI Spec: invalid vendor. empty name");
    EXPECT_EQ(refusal(spec("0.3.0", "v.com/c-", good)),
              "invalid CDI Spec: invalid class. \"c-\", should end with a letter or digit");
    EXPECT_EQ(refusal(spec("0.5.0", "v.com/c.d", good)),
              "invalid CDI Spec: the spec version must be at least v0.6.0");
    EXPECT_EQ(refusal(spec("0.3.0", "v.com/c", "")), "invalid CDI Spec: invalid spec, no devices");
    EXPECT_EQ(refusal(spec("0.3.0", "v.com/c", good + ", " + good)),
              "invalid CDI Spec: invalid spec, multiple device \"d\"");
    EXPECT_EQ(refusal(spec("0.3.0", "v.com/c", "{name: d, containerEdits: {}}")),
              "invalid CDI Spec: failed add device \"d\": invalid device, empty device edits");
    EXPECT_EQ(refusal(spec("0.3.0", "v.com/c", "{name: d, containerEdits: {env: [A]}}")),
              "invalid CDI Spec: failed add device \"d\": invalid device \"d\": invalid container "
              "edits: invalid environment variable \"A\"");
    EXPECT_EQ(refusal(spec("0.3.0", "v.com/c",
                           "{name: d, containerEdits: {hooks: [{hookName: never, path: /x}]}}")),
              "invalid CDI Spec: failed add device \"d\": invalid device \"d\": invalid hook name "
              "\"never\"");
}

TEST(CdiYaml, HasBounds) {
    std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
    for (char c = 'b'; c < 'k'; ++c) {
        bomb += std::string(1, c) + ": &" + c + " [";
        for (int i = 0; i < 10; ++i) bomb += std::string(i == 0 ? "*" : ", *") + char(c - 1);
        bomb += "]\n";
    }
    EXPECT_EQ(error_of([&] { parse_yaml(bomb); }),
              "yaml: document contains excessive aliasing");
    EXPECT_EQ(error_of([] { parse_yaml(std::string(5000, '[')); }), "yaml: exceeded max depth");
    EXPECT_EQ(error_of([] { parse_yaml("[*x]"); }), "yaml: unknown anchor 'x' referenced");
    EXPECT_EQ(error_of([] { parse_yaml("{a: 1, a: 2}"); }), "yaml: key \"a\" already set in map");
    EXPECT_EQ(parse_yaml("[~, 'null', &a {b: 'c'}, *a]").items.at(3).fields.at(0).second.text, "c");
    EXPECT_EQ(parse_yaml("['null']").items.at(0).text, "null");
}

TEST(CdiYaml, RepeatedTextsAreBounded) {
    const std::string excessive = "yaml: document contains excessive aliasing";
    // Few nodes, and a gigabyte of text.
    std::string document = "- &a \"" + std::string(1 << 20, 'x') + "\"\n";
    for (int i = 0; i < 1024; ++i) document += "- *a\n";
    EXPECT_EQ(error_of([&] { parse_yaml(document); }), excessive);
    // Each level repeats the one before ten times.
    document = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 0; i < 9; ++i) {
        document += "- &a" + std::to_string(i + 1) + " [";
        for (int j = 0; j < 10; ++j) document += (j > 0 ? ", *a" : "*a") + std::to_string(i);
        document += "]\n";
    }
    EXPECT_EQ(error_of([&] { parse_yaml(document); }), excessive);
    // Anchors around anchors: each would keep a copy of all that is in it.
    document.clear();
    for (int i = 0; i < 60; ++i) document += "&n" + std::to_string(i) + " [";
    document += "\"" + std::string(1 << 20, 'x') + "\"" + std::string(60, ']');
    EXPECT_EQ(error_of([&] { parse_yaml(document); }), excessive);
    // A large file without any of this is no attack.
    document = "[";
    for (int i = 0; i < 50'000; ++i) document += "{path: /usr/lib/some/library.so},";
    EXPECT_EQ(parse_yaml(document + "]").items.size(), 50'000U);
}

class CdiDevices : public testing::Test {
protected:
    CdiDevices() {
        std::string name = (fs::temp_directory_path() / "cdi-XXXXXX").string();
        root_ = ::mkdtemp(name.data());
        for (const char* folder : {"/low", "/high"}) fs::create_directory(root_ + folder);
    }
    ~CdiDevices() override { fs::remove_all(root_); }

    void write(const std::string& path, const std::string& devices) {
        std::ofstream(root_ + path) << "{cdiVersion: 0.3.0, kind: v.com/c, devices: [" << devices
                                    << "], containerEdits: {env: [FILE=" << path << "]}}";
    }
    static std::string device(const std::string& name, const std::string& value) {
        return "{name: " + name + ", containerEdits: {env: [D=" + value + "]}}";
    }
    [[nodiscard]] Devices read() const {
        return Devices({root_ + "/low", root_ + "/missing", root_ + "/high"});
    }

    std::string root_;
};

TEST_F(CdiDevices, LaterFoldersWin) {
    write("/low/a.json", device("one", "low") + ", " + device("two", "low"));
    write("/high/a.yaml", device("one", "high"));
    write("/high/ignored.txt", device("three", "x"));
    const auto devices = read();
    EXPECT_THAT(devices.names(), ElementsAre("v.com/c=one", "v.com/c=two"));
    EXPECT_THAT(devices.warnings(), IsEmpty());
    // What the files add of themselves comes once for each file, before its first device.
    EXPECT_THAT(devices.edits({"v.com/c=two", "v.com/c=one", "v.com/c=two"}).env,
                ElementsAre("FILE=/low/a.json", "D=low", "FILE=/high/a.yaml", "D=high", "D=low"));
    EXPECT_EQ(error_of([&] { (void)devices.edits({"v.com/c=x", "v.com/c=one", "y"}); }),
              "unresolvable CDI devices v.com/c=x, y");
}

TEST_F(CdiDevices, AreReadAgainWhenTheyChange) {
    write("/low/a.json", device("one", "low"));
    Registry registry({root_ + "/low", root_ + "/late"});
    const auto first = registry.current();
    EXPECT_EQ(registry.current(), first);
    // Written in place, as long as before and a moment later: the times tell.
    write("/low/a.json", device("two", "low"));
    fs::last_write_time(root_ + "/low/a.json", fs::file_time_type::clock::now() + std::chrono::hours(1));
    const auto second = registry.current();
    EXPECT_THAT(second->names(), ElementsAre("v.com/c=two"));
    EXPECT_EQ(registry.current(), second);
    EXPECT_THAT(first->names(), ElementsAre("v.com/c=one")) << "who has the old ones keeps them";
    fs::create_directory(root_ + "/late");
    write("/late/b.json", device("three", "late"));
    EXPECT_THAT(registry.current()->names(), ElementsAre("v.com/c=three", "v.com/c=two"));
    fs::remove(root_ + "/low/a.json");
    EXPECT_THAT(registry.current()->names(), ElementsAre("v.com/c=three"));
    EXPECT_EQ(error_of([] { (void)Registry({}).current(); }),
              "no CDI specification directories specified");
}

TEST_F(CdiDevices, ConflictsAndErrorsAreWarnings) {
    write("/low/a.json", device("one", "a") + ", " + device("two", "a"));
    write("/low/b.json", device("one", "b"));
    std::ofstream(root_ + "/low/bad.json") << "{}";
    const auto devices = read();
    EXPECT_THAT(devices.names(), ElementsAre("v.com/c=two"));
    const std::string low = root_ + "/low/";
    const std::string conflict =
        "conflicting device \"v.com/c=one\" (specs \"" + low + "b.json\", \"" + low + "a.json\")";
    const std::string prefix = "CDI: Error associated with spec file " + low;
    EXPECT_THAT(devices.warnings(),
                ElementsAre(prefix + "b.json: " + conflict, prefix + "a.json: " + conflict,
                            prefix + "bad.json: failed to load CDI Spec invalid CDI Spec: invalid "
                                     "version \"\""));
}

}  // namespace
}  // namespace dockerd::engine::cdi
