#include <gtest/gtest.h>

#include <dockerd/registry/manifest.hpp>

namespace dockerd::registry {
namespace {

std::string refusal(std::string_view type, std::string_view text) {
    try {
        (void)parse_manifest(type, text);
    } catch (const base::Error& error) {
        return error.what();
    }
    return {};
}

TEST(Manifest, ReadsAnImage) {
    const auto manifest = parse_manifest(
        "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8",
        R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",
            "config":{"mediaType":"c","size":3,"digest":"sha256:c"},
            "layers":[{"mediaType":"l","size":4,"digest":"sha256:l","urls":["u"]}]})");
    const auto& image = std::get<ImageManifest>(manifest);
    EXPECT_EQ(image.config.digest, "sha256:c");
    ASSERT_EQ(image.layers.size(), 1U);
    EXPECT_EQ(image.layers[0].size, 4);
    EXPECT_EQ(image.layers[0].urls, std::vector<std::string>{"u"});
}

TEST(Manifest, ReadsAList) {
    const auto manifest = parse_manifest(
        media::oci_index, R"({"manifests":[{"digest":"a","platform":{"os":"linux","architecture":
            "arm","variant":"v7"}},{"digest":"b","platform":{}},{"digest":"c"}]})");
    const auto& list = std::get<ManifestList>(manifest);
    ASSERT_EQ(list.manifests.size(), 3U);
    EXPECT_EQ(list.manifests[0].variant, "v7");
    EXPECT_TRUE(list.manifests[0].has_platform);
    EXPECT_FALSE(list.manifests[1].has_platform);
    EXPECT_FALSE(list.manifests[2].has_platform);
}

TEST(Manifest, RefusesWhatIsTwoThings) {
    const std::string both = R"({"layers":[],"manifests":[{}]})";
    EXPECT_EQ(refusal(media::oci_manifest, both), "ocimanifest: expected manifest but found index");
    EXPECT_EQ(refusal(media::oci_index, both), "index: expected index but found manifest");
}

TEST(Manifest, NamesWrongTypesAsGoDoes) {
    const std::string type(media::oci_manifest);
    EXPECT_EQ(refusal(type, R"({"layers":{}})"),
              "json: cannot unmarshal object into Go struct field Manifest.layers of type "
              "[]distribution.Descriptor");
    EXPECT_EQ(refusal(type, R"({"config":{"digest":5}})"),
              "json: cannot unmarshal number into Go struct field Descriptor.config.digest of type "
              "digest.Digest");
    EXPECT_EQ(refusal(type, R"({"config":{"size":1.5}})"),
              "json: cannot unmarshal number 1.5 into Go struct field Descriptor.config.size of type "
              "int64");
    EXPECT_EQ(refusal(type, R"({"config":)"), "unexpected end of JSON input");
    EXPECT_EQ(refusal(type, "<html>"), "invalid character '<' looking for beginning of value");
}

TEST(Manifest, OfAnUnknownTypeIsTheOldFormat) {
    EXPECT_TRUE(std::holds_alternative<Schema1Manifest>(parse_manifest(media::schema1, "{}")));
    EXPECT_TRUE(std::holds_alternative<Schema1Manifest>(parse_manifest("text/html", "{}")));
}

}  // namespace
}  // namespace dockerd::registry
