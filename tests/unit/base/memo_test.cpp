#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include <dockerd/base/memo.hpp>

namespace dockerd::base {
namespace {

TEST(Memo, IsMadeOnceForEachObject) {
    int made = 0;
    const auto make = [&] { return std::to_string(++made); };
    const Memo<std::string> memo;
    EXPECT_EQ(memo.get(make), "1");
    EXPECT_EQ(memo.get(make), "1");
    const Memo<std::string> copy = memo;  // of an object that may be changed before it is published
    EXPECT_EQ(copy.get(make), "2");
    EXPECT_EQ(memo.get(make), "1");
}

TEST(Memo, IsTriedAgainAfterAFailure) {
    const Memo<std::string> memo;
    EXPECT_THROW(memo.get([]() -> std::string { throw std::runtime_error("no"); }),
                 std::runtime_error);
    EXPECT_EQ(memo.get([] { return std::string("yes"); }), "yes");
}

}  // namespace
}  // namespace dockerd::base
