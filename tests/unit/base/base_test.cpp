#include <gtest/gtest.h>

#include <dockerd/base/error.hpp>
#include <dockerd/base/id.hpp>
#include <dockerd/base/strings.hpp>
#include <dockerd/base/time.hpp>
#include <dockerd/base/timers.hpp>

#include <cerrno>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

using namespace dockerd::base;

TEST(ErrnoText, IsLowerCaseBecauseClientsSearchIt) {
    EXPECT_EQ(errno_text(EACCES), "permission denied");
    EXPECT_EQ(errno_text(ENOENT), "no such file or directory");
    EXPECT_EQ(errno_text(EIO), "input/output error");
}

TEST(InContext, PutsContextFirstAndKeepsKindAndErrno) {
    try {
        in_context("open x", [] { throw Error(ErrorKind::conflict, "busy", EBUSY); });
        FAIL() << "did not throw";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "open x: busy");
        EXPECT_EQ(error.kind(), ErrorKind::conflict);
        EXPECT_EQ(error.errno_value(), EBUSY);
    }
}

TEST(RandomId, IsSixtyFourHexAndNeverAllDigitsInFront) {
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const std::string id = random_id();
        EXPECT_TRUE(is_full_id(id)) << id;
        EXPECT_NE(id.substr(0, 12).find_first_of("abcdef"), std::string::npos) << id;
        EXPECT_TRUE(seen.insert(id).second);
    }
    EXPECT_EQ(short_id("sha256:0123456789abcdef"), "0123456789ab");
}

TEST(Base64, ReadsBothAlphabetsWithAndWithoutPadding) {
    EXPECT_EQ(base64_encode("\xff\xfe\xfd", true), "__79");
    EXPECT_EQ(base64_encode("a"), "YQ==");
    EXPECT_EQ(base64_decode("YQ"), "a");
    EXPECT_EQ(base64_decode("YQ=="), "a");
    EXPECT_EQ(base64_decode("__79"), "\xff\xfe\xfd");
    EXPECT_EQ(base64_decode("//79"), "\xff\xfe\xfd");
    EXPECT_EQ(base64_decode("a"), std::nullopt);
    EXPECT_EQ(base64_decode("a!bc"), std::nullopt);
}

TEST(ParseInt, TakesWholeTextOnly) {
    EXPECT_EQ(parse_int("-12"), -12);
    EXPECT_EQ(parse_int("+12"), 12);
    EXPECT_EQ(parse_int("12x"), std::nullopt);
    EXPECT_EQ(parse_int(""), std::nullopt);
    EXPECT_EQ(parse_int("9223372036854775808"), std::nullopt);
}

TEST(Time, PrintsAsGoDoes) {
    EXPECT_EQ(format_rfc3339_nano(WallTime{}), "0001-01-01T00:00:00Z");
    EXPECT_EQ(format_rfc3339_nano(WallTime(1'700'000'000, 120'000'000)), "2023-11-14T22:13:20.12Z");
    EXPECT_EQ(format_rfc3339_fixed(WallTime(1'700'000'000, 5)), "2023-11-14T22:13:20.000000005Z");
}

TEST(Time, ParsesRfc3339WithOffset) {
    EXPECT_EQ(parse_rfc3339("2023-11-14T23:13:20.12+01:00"), WallTime(1'700'000'000, 120'000'000));
    EXPECT_EQ(parse_rfc3339("0001-01-01T00:00:00Z"), WallTime{});
    EXPECT_EQ(parse_rfc3339("2023-11-14 22:13:20Z"), std::nullopt);
    EXPECT_EQ(parse_rfc3339("2023-02-30T00:00:00Z"), std::nullopt);
}

TEST(Time, ParsesGoDurations) {
    using namespace std::chrono_literals;
    EXPECT_EQ(parse_duration("1h2m3.5s"), 1h + 2min + 3500ms);
    EXPECT_EQ(parse_duration("-300ms"), -300ms);
    EXPECT_EQ(parse_duration("0"), 0ns);
    EXPECT_EQ(parse_duration("5"), std::nullopt);
    EXPECT_EQ(parse_duration("5 s"), std::nullopt);
}

TEST(HumanDuration, UsesDockersWords) {
    using namespace std::chrono_literals;
    EXPECT_EQ(human_duration(0s), "Less than a second");
    EXPECT_EQ(human_duration(1s), "1 second");
    EXPECT_EQ(human_duration(59s), "59 seconds");
    EXPECT_EQ(human_duration(119s), "About a minute");
    EXPECT_EQ(human_duration(59min), "59 minutes");
    EXPECT_EQ(human_duration(61min), "About an hour");
    EXPECT_EQ(human_duration(47h), "47 hours");
    EXPECT_EQ(human_duration(49h), "2 days");
    EXPECT_EQ(human_duration(24h * 15), "2 weeks");
}

TEST(FormatDuration, IsGos) {
    using namespace std::chrono_literals;
    EXPECT_EQ(format_duration(0s), "0s");
    EXPECT_EQ(format_duration(1ns), "1ns");
    EXPECT_EQ(format_duration(1100ns), "1.1\xC2\xB5s");
    EXPECT_EQ(format_duration(200ms), "200ms");
    EXPECT_EQ(format_duration(1200ms), "1.2s");
    EXPECT_EQ(format_duration(90s), "1m30s");
    EXPECT_EQ(format_duration(1h), "1h0m0s");
    EXPECT_EQ(format_duration(-2s), "-2s");
}

TEST(Timers, RunInOrderUnlessCanceled) {
    using namespace std::chrono_literals;
    Timers timers;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<int> ran;
    const auto note = [&](int number) {
        return [&, number] {
            const std::lock_guard lock(mutex);
            ran.push_back(number);
            changed.notify_all();
        };
    };
    std::promise<void> all_set;
    (void)timers.after(0ms, [&] { all_set.get_future().wait(); });  // holds the others back
    (void)timers.after(3ms, note(3));
    const auto canceled = timers.after(2ms, note(2));
    (void)timers.after(1ms, note(1));
    timers.cancel(canceled);
    all_set.set_value();
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, 10s, [&] { return ran.size() == 2; }));
    EXPECT_EQ(ran, (std::vector<int>{1, 3}));
    lock.unlock();
    timers.stop();
    (void)timers.after(0s, note(4));
    EXPECT_EQ(ran.size(), 2U);
}

/// Uses the timers when it goes, as the last reference to something that has a timer does.
std::shared_ptr<const int> user_of(Timers& timers, int& gone) {
    return {&gone, [&timers](int* count) {
                timers.cancel(timers.after(std::chrono::hours(1), [] {}));
                ++*count;
            }};
}

TEST(Timers, WhatACanceledActionHoldsMayUseThemWhenItGoes) {
    Timers timers;
    int gone = 0;
    timers.cancel(timers.after(std::chrono::hours(1), [held = user_of(timers, gone)] {}));
    EXPECT_EQ(gone, 1);
}

TEST(Timers, WhatAnActionHoldsMayUseThemWhenItHasRun) {
    Timers timers;
    int gone = 0;
    (void)timers.after(std::chrono::nanoseconds(0), [held = user_of(timers, gone)] {});
    // Later than the first: begun when that is over with all it held.
    std::promise<void> second;
    (void)timers.after(std::chrono::milliseconds(1), [&] { second.set_value(); });
    second.get_future().wait();
    EXPECT_EQ(gone, 1);
}

TEST(Timers, WhatADroppedActionHoldsMayUseThemWhenTheyStop) {
    Timers timers;
    int gone = 0;
    (void)timers.after(std::chrono::hours(1), [held = user_of(timers, gone)] {});
    timers.stop();
    EXPECT_EQ(gone, 1);
}
