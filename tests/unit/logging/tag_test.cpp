#include <dockerd/logging/drivers.hpp>

#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>

namespace dockerd::logging {
namespace {

ContainerInfo info() {
    ContainerInfo info;
    info.id = "0123456789abcdef0123456789abcdef";
    info.name = "/web";
    info.entrypoint = "/bin/sh";
    info.args = {"-c", "true"};
    info.image_id = "sha256:abcdef0123";
    info.image_name = "busybox:latest";
    info.env = {"A=1", "AB=2", "NAME"};
    info.labels = {{"com.x", "lab"}, {"A", "label"}};
    return info;
}

std::string tag(const std::string& text) { return render_tag({{"tag", text}}, info(), "{{.ID}}"); }

std::string problem(const std::string& text) {
    try {
        return "no error: " + tag(text);
    } catch (const base::Error& error) {
        return error.what();
    }
}

TEST(LogTag, HasDockersFields) {
    EXPECT_EQ(tag(""), "0123456789ab");
    EXPECT_EQ(tag("plain"), "plain");
    EXPECT_EQ(tag("{{.ImageName}}/{{.Name}}/{{.ID}}"), "busybox:latest/web/0123456789ab");
    EXPECT_EQ(tag("{{.FullID}}"), info().id);
    EXPECT_EQ(tag("{{.ImageID}} {{.ImageFullID}}"), "sha256:abcde sha256:abcdef0123");
    EXPECT_EQ(tag("{{.DaemonName}} {{.Command}}"), "docker /bin/sh -c true");
    EXPECT_EQ(tag("{{.ContainerName}}{{.ContainerArgs}}"), "/web[-c true]");
    EXPECT_EQ(tag("{{index .ContainerLabels \"com.x\"}}"), "lab");
    EXPECT_EQ(tag("{{(.ExtraAttributes nil).none}}"), "<no value>");
}

TEST(LogTag, HasFunctionsAndConditions) {
    EXPECT_EQ(tag("{{upper .Name}}{{.Name | title}}"), "WEBWeb");
    EXPECT_EQ(tag("{{truncate .ID 4}}{{pad .Name 1 2}}"), "0123 web  ");
    EXPECT_EQ(tag("{{join (split .ImageName \":\") \"-\"}}"), "busybox-latest");
    EXPECT_EQ(tag("{{printf \"%s/%q\" .Name .Name}}"), "web/\"web\"");
    EXPECT_EQ(tag("{{json .ContainerArgs}}"), "[\"-c\",\"true\"]");
    EXPECT_EQ(tag("{{if eq .Name \"web\"}}yes{{else}}no{{end}}"), "yes");
    EXPECT_EQ(tag("{{if .LogPath}}a{{else}}b{{end}}"), "b");
    EXPECT_EQ(tag("a  {{- .Name -}}  b"), "awebb");
    EXPECT_EQ(tag("{{/* nothing */}}x"), "x");
}

TEST(LogTag, BranchesAndRepeats) {
    EXPECT_EQ(tag("{{if eq .Name \"x\" \"y\"}}1{{else if gt (len .ContainerArgs) 1}}2{{else}}3"
                  "{{end}}"),
              "2");
    EXPECT_EQ(tag("{{with .LogPath}}a{{else with .Name}}<{{.}}>{{end}}{{.Name}}"), "<web>web");
    EXPECT_EQ(tag("{{with $x := .Name}}{{$x}}{{$.ID}}{{end}}"), "web0123456789ab");
    EXPECT_EQ(tag("{{$n := .Name}}{{if true}}{{$n = upper $n}}{{end}}{{$n}}"), "WEB");
    EXPECT_EQ(tag("{{range .ContainerArgs}}[{{.}}]{{end}}"), "[-c][true]");
    EXPECT_EQ(tag("{{range $i, $arg := .ContainerArgs}}{{$i}}{{$arg}} {{end}}"), "0-c 1true ");
    EXPECT_EQ(tag("{{range $key, $value := .ContainerLabels}}{{$key}}={{$value}};{{end}}"),
              "A=label;com.x=lab;");
    EXPECT_EQ(tag("{{range $env := .ContainerEnv}}{{if eq $env \"AB=2\"}}{{continue}}{{end}}"
                  "{{.}},{{else}}none{{end}}"),
              "A=1,NAME,");
    EXPECT_EQ(tag("{{range .ContainerArgs}}{{.}}{{break}}{{end}}"), "-c");
    EXPECT_EQ(tag("{{range $k, $v := .Config}}{{else}}nothing{{end}}"), "");
    EXPECT_EQ(tag("{{range split .LogPath \"/\"}}.{{else}}none{{end}}"), ".");
    EXPECT_EQ(tag("{{range .ContainerArgs -}} {{range $.ContainerArgs}}{{.}}{{end}} {{- end}}"),
              "-ctrue-ctrue");
}

TEST(LogTag, RepeatsWithinBounds) {
    std::string nested = "{{range $.ContainerArgs}}";
    for (int i = 0; i < 6; ++i) nested += nested;
    for (int i = 0; i < 64; ++i) nested += "{{end}}";
    EXPECT_EQ(problem(nested), "template: log-tag:1: too much is repeated");
}

TEST(LogTag, IsRefusedInGosWords) {
    EXPECT_EQ(problem("{{$x}}"), "template: log-tag:1: undefined variable \"$x\"");
    EXPECT_EQ(problem("{{range .ContainerArgs}}{{$x := .}}{{end}}{{$x}}"),
              "template: log-tag:1: undefined variable \"$x\"");
    EXPECT_EQ(problem("{{break}}"), "template: log-tag:1: {{break}} outside {{range}}");
    EXPECT_EQ(problem("{{range .Name}}{{end}}"),
              "template: log-tag:1:8: executing \"log-tag\" at <.Name>: range can't iterate over "
              "web");

    EXPECT_EQ(problem("{{.Bad}}"),
              "template: log-tag:1:2: executing \"log-tag\" at <.Bad>: can't evaluate field Bad in "
              "type *logger.Info");
    EXPECT_EQ(problem("{{foo}}"), "template: log-tag:1: function \"foo\" not defined");
    EXPECT_EQ(problem("{{.ID"), "template: log-tag:1: unclosed action");
    EXPECT_EQ(problem("{{}}"), "template: log-tag:1: missing value for command");
    EXPECT_EQ(problem("{{if .ID}}x"), "template: log-tag:1: unexpected EOF");
    EXPECT_EQ(problem("{{" + std::string(10000, '(')),
              "template: log-tag:1: exceeded maximum nesting depth");
}

TEST(LogAttributes, AreChosenByNameAndPattern) {
    using Map = std::map<std::string, std::string>;
    EXPECT_EQ(extra_attributes({}, info()), Map{});
    EXPECT_EQ(extra_attributes({{"labels", "com.x,none"}, {"env", "AB"}}, info()),
              (Map{{"com.x", "lab"}, {"AB", "2"}}));
    EXPECT_EQ(extra_attributes({{"labels-regex", "^com"}, {"env-regex", "^A"}}, info()),
              (Map{{"com.x", "lab"}, {"A", "1"}, {"AB", "2"}}));
    // A variable wins over a label of its name.
    EXPECT_EQ(extra_attributes({{"labels", "A"}, {"env", "A"}}, info()), (Map{{"A", "1"}}));
    try {
        (void)extra_attributes({{"labels-regex", "("}}, info());
        FAIL() << "accepted";
    } catch (const base::Error& error) {
        EXPECT_STREQ(error.what(), "error parsing regexp: missing closing ): `(`");
    }
}

}  // namespace
}  // namespace dockerd::logging
