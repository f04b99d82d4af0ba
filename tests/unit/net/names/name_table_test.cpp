#include "net/names/name_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dockerd::net {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;
using ::testing::UnorderedElementsAre;

IpAddress address(std::string_view text) { return *IpAddress::parse(text); }

NamePlace place(const std::string& name) {
    NamePlace out;
    out.network_id = "id-" + name;
    out.network_name = name;
    out.gateways = 1;
    return out;
}

class Names : public ::testing::Test {
protected:
    Names() {
        table.add("id-front", {"e1", {"web", "www", "0123456789ab"}, address("10.0.0.2"), {}});
        table.add("id-front", {"e2", {"Api", "www"}, address("10.0.0.3"), address("fd00::3")});
        table.add("id-back", {"e3", {"db"}, address("10.1.0.2"), {}});
    }
    NameTable table;
    const std::vector<NamePlace> front{place("front")};
    const std::vector<NamePlace> both{place("front"), place("back")};
};

TEST_F(Names, AreFoundOnTheContainersNetworksOnly) {
    EXPECT_THAT(table.resolve(front, "web.", false), Optional(ElementsAre(address("10.0.0.2"))));
    EXPECT_EQ(table.resolve(front, "db.", false), std::nullopt);
    EXPECT_THAT(table.resolve(both, "db.", false), Optional(ElementsAre(address("10.1.0.2"))));
    EXPECT_EQ(table.resolve({}, "web.", false), std::nullopt);
}

TEST_F(Names, OfSeveralEndpointsHaveAllAddresses) {
    EXPECT_THAT(table.resolve(front, "www.", false),
                Optional(UnorderedElementsAre(address("10.0.0.2"), address("10.0.0.3"))));
    EXPECT_THAT(table.resolve(front, "www.", true), Optional(ElementsAre(address("fd00::3"))));
}

TEST_F(Names, KnownInOneFamilyAreEmptyInTheOther) {
    EXPECT_THAT(table.resolve(front, "web.", true), Optional(ElementsAre()));
}

TEST_F(Names, DoNotDependOnCase) {
    EXPECT_THAT(table.resolve(front, "WEB", false), Optional(ElementsAre(address("10.0.0.2"))));
    EXPECT_THAT(table.resolve(front, "api", false), Optional(ElementsAre(address("10.0.0.3"))));
}

TEST_F(Names, MayBeFollowedByTheNetworks) {
    EXPECT_THAT(table.resolve(both, "web.front.", false),
                Optional(ElementsAre(address("10.0.0.2"))));
    EXPECT_EQ(table.resolve(both, "web.back.", false), std::nullopt);
    EXPECT_EQ(table.resolve(both, "web.Front.", false), std::nullopt);  // networks' names have case
    EXPECT_EQ(table.resolve(front, "db.back.", false), std::nullopt);
}

TEST_F(Names, MayContainDotsThemselves) {
    NameTable dotted;
    dotted.add("id-a.b", {"e", {"x.y"}, address("10.2.0.2"), {}});
    const std::vector<NamePlace> places{place("a.b")};
    EXPECT_THAT(dotted.resolve(places, "x.y.", false), Optional(ElementsAre(address("10.2.0.2"))));
    EXPECT_THAT(dotted.resolve(places, "x.y.a.b.", false),
                Optional(ElementsAre(address("10.2.0.2"))));
    EXPECT_EQ(dotted.resolve(places, "x.y.b.", false), std::nullopt);
    EXPECT_EQ(dotted.resolve(places, ".a.b.", false), std::nullopt);
}

TEST_F(Names, LinksAreTheirContainersOwn) {
    std::vector<NamePlace> linked = front;
    linked[0].aliases["database"] = "Web";
    linked[0].aliases["www"] = "web";
    EXPECT_THAT(table.resolve(linked, "database.", false),
                Optional(ElementsAre(address("10.0.0.2"))));
    EXPECT_THAT(table.resolve(linked, "database.front.", false),
                Optional(ElementsAre(address("10.0.0.2"))));
    EXPECT_EQ(table.resolve(front, "database.", false), std::nullopt);
    // An alias hides the name that others use, and is compared with its case.
    EXPECT_THAT(table.resolve(linked, "www.", false), Optional(ElementsAre(address("10.0.0.2"))));
    EXPECT_EQ(table.resolve(linked, "Database.", false), std::nullopt);
}

TEST_F(Names, ALinkToNobodyHidesTheNameThere) {
    std::vector<NamePlace> linked = both;
    linked[0].aliases["web"] = "gone";
    EXPECT_EQ(table.resolve(linked, "web.", false), std::nullopt);
}

TEST_F(Names, GoWithTheirEndpoint) {
    table.remove("id-front", "e1");
    EXPECT_EQ(table.resolve(front, "web.", false), std::nullopt);
    EXPECT_THAT(table.resolve(front, "www.", false), Optional(ElementsAre(address("10.0.0.3"))));
    EXPECT_EQ(table.name_of(front, address("10.0.0.2")), "");
    table.remove("id-front", "e1");
    table.remove("nowhere", "e1");
}

TEST_F(Names, AreReplacedAtARename) {
    table.add("id-front", {"e1", {"new"}, address("10.0.0.2"), {}});
    EXPECT_EQ(table.resolve(front, "web.", false), std::nullopt);
    EXPECT_THAT(table.resolve(front, "new.", false), Optional(ElementsAre(address("10.0.0.2"))));
    EXPECT_EQ(table.name_of(front, address("10.0.0.2")), "new.front");
}

TEST_F(Names, OfAddressesAreTheFirstAndTheNetworks) {
    EXPECT_EQ(table.name_of(front, address("10.0.0.3")), "Api.front");
    EXPECT_EQ(table.name_of(front, address("fd00::3")), "Api.front");
    EXPECT_EQ(table.name_of(front, address("10.1.0.2")), "");
    EXPECT_EQ(table.name_of(both, address("10.1.0.2")), "db.back");
}

TEST(NamePlaces, AreSearchedInDockersOrder) {
    NamePlace internal = place("a-internal");
    internal.internal = true;
    NamePlace important = place("z-important");
    important.priority = 5;
    NamePlace dual = place("y-dual");
    dual.gateways = 2;
    std::vector<NamePlace> places{internal, place("c"), place("b"), dual, important};
    sort_places(places);
    std::vector<std::string> names;
    for (const NamePlace& entry : places) names.push_back(entry.network_name);
    EXPECT_THAT(names, ElementsAre("z-important", "y-dual", "b", "c", "a-internal"));
}

}  // namespace
}  // namespace dockerd::net
