#include "proto/contract/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "proto/contract/errors.h"

namespace larder {
namespace {

using ::std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

google::protobuf::Duration Duration(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

template <class Value>
void ExpectInvalid(const absl::StatusOr<Value>& result, const std::string& text) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(text));
}

google::protobuf::RepeatedPtrField<std::string> Hashes(const std::vector<std::string>& raw) {
  return {raw.begin(), raw.end()};
}

TEST(TenantFromWireTest, EmptyIsDefault) {
  EXPECT_EQ(*TenantFromWire(""), "default");
  EXPECT_EQ(*TenantFromWire("Team_7.prod-eu"), "Team_7.prod-eu");
  EXPECT_EQ(*TenantFromWire(std::string(64, 't')), std::string(64, 't'));
}

TEST(TenantFromWireTest, RefusesOtherCharactersAndLongNames) {
  ExpectInvalid(TenantFromWire(std::string(65, 't')),
                "tenant: found 65 bytes, expected at most 64");
  for (const std::string tenant : {"a b", "a/b", "a\n", "\xC3\xA4", "a:b", "a@", "[", "`", "{"}) {
    ExpectInvalid(TenantFromWire(tenant), "tenant: found '");
  }
  ExpectInvalid(TenantFromWire(std::string("a\0b", 3)), "tenant: found 'a?b'");
}

TEST(HashesFromWireTest, KeepsOrderAndBytes) {
  const auto hashes = HashesFromWire(Hashes({"b", std::string(32, '\xFF'), "a"}), 3, "f");
  ASSERT_TRUE(hashes.ok());
  EXPECT_THAT(*hashes,
              ElementsAre(*PrefixHash::From("b"), *PrefixHash::From(std::string(32, '\xFF')),
                          *PrefixHash::From("a")));
}

TEST(HashesFromWireTest, RefusesWrongCountsAndSizes) {
  ExpectInvalid(HashesFromWire(Hashes({}), 3, "prefix_hashes"),
                "prefix_hashes: found no entry, expected 1 to 3");
  ExpectInvalid(HashesFromWire(Hashes({"a", "b", "c", "d"}), 3, "prefix_hashes"),
                "prefix_hashes: found 4 entries, expected at most 3");
  ExpectInvalid(HashesFromWire(Hashes({"a", ""}), 3, "prefix_hashes"),
                "prefix_hashes[1]: found 0 bytes, expected 1 to 32");
  ExpectInvalid(HashesFromWire(Hashes({"a", "b", std::string(33, 'c')}), 3, "prefix_hashes"),
                "prefix_hashes[2]: found 33 bytes");
}

TEST(FidelityFromWireTest, UnspecifiedNeedsNoOptIn) {
  EXPECT_EQ(*FidelityFromWire(v1::FIDELITY_UNSPECIFIED), Fidelity::kCompact);
  EXPECT_EQ(*FidelityFromWire(v1::FIDELITY_REDUCED), Fidelity::kReduced);
  EXPECT_EQ(*FidelityFromWire(v1::FIDELITY_EXACT), Fidelity::kExact);
}

TEST(FidelityFromWireTest, RefusesValuesOutsideTheEnum) {
  for (const int value : {-1, 6, 256, 257, std::numeric_limits<int>::max()}) {
    ExpectInvalid(FidelityFromWire(static_cast<v1::Fidelity>(value)),
                  "fidelity_min: found " + std::to_string(value));
  }
}

TEST(RetentionFromWireTest, AbsentFieldsTakeTheDefaults) {
  const auto retention = RetentionFromWire({});
  ASSERT_TRUE(retention.ok());
  EXPECT_EQ(retention->priority, 35);
  EXPECT_EQ(retention->priority_duration, std::nullopt);
  EXPECT_EQ(retention->ttl, std::nullopt);
}

TEST(RetentionFromWireTest, TakesWhatIsSet) {
  v1::Retention wire;
  wire.set_priority(0);
  *wire.mutable_priority_duration() = Duration(1, 500'000'000);
  *wire.mutable_ttl() = Duration(kTtlSecondsMax, 0);
  const auto retention = RetentionFromWire(wire);
  ASSERT_TRUE(retention.ok()) << retention.status();
  EXPECT_EQ(retention->priority, 0);
  EXPECT_EQ(retention->priority_duration, milliseconds(1500));
  EXPECT_EQ(retention->ttl, std::chrono::seconds(kTtlSecondsMax));
  wire.set_priority(100);
  EXPECT_EQ(RetentionFromWire(wire)->priority, 100);
}

TEST(RetentionFromWireTest, LongerThanAYearIsForEver) {
  v1::Retention wire;
  *wire.mutable_priority_duration() = Duration(kTtlSecondsMax, 1);
  *wire.mutable_ttl() = Duration(315'576'000'000, 999'999'999);
  const auto retention = RetentionFromWire(wire);
  ASSERT_TRUE(retention.ok()) << retention.status();
  EXPECT_EQ(retention->priority_duration, std::nullopt);
  EXPECT_EQ(retention->ttl, std::nullopt);
}

TEST(RetentionFromWireTest, RefusesFaultyFields) {
  v1::Retention wire;
  wire.set_priority(101);
  ExpectInvalid(RetentionFromWire(wire), "retention.priority: found 101, expected 0 to 100");
  wire.set_priority(35 + 256);  // 35 when cut to a byte
  ExpectInvalid(RetentionFromWire(wire), "retention.priority: found 291");
  wire.clear_priority();
  wire.mutable_ttl();
  ExpectInvalid(RetentionFromWire(wire),
                "retention.ttl: found 0 s 0 ns, expected a duration above");
  *wire.mutable_ttl() = Duration(-1, 0);
  ExpectInvalid(RetentionFromWire(wire), "retention.ttl: found -1 s 0 ns");
  wire.clear_ttl();
  *wire.mutable_priority_duration() = Duration(1, -1);
  ExpectInvalid(RetentionFromWire(wire), "retention.priority_duration: found 1 s -1 ns");
  wire.mutable_priority_duration()->Clear();
  ExpectInvalid(RetentionFromWire(wire), "retention.priority_duration: found 0 s 0 ns");
}

TEST(LeaseTtlFromWireTest, AbsentIsZeroAndLongerIsCut) {
  EXPECT_EQ(*LeaseTtlFromWire({}), milliseconds(0));
  EXPECT_EQ(*LeaseTtlFromWire(Duration(30, 1'000'000)), milliseconds(30'001));
  EXPECT_EQ(*LeaseTtlFromWire(Duration(kLeaseTtlSecondsMax, 1)), milliseconds(600'000));
  EXPECT_EQ(*LeaseTtlFromWire(Duration(315'576'000'000, 0)), milliseconds(600'000));
}

TEST(LeaseTtlFromWireTest, PositiveTtlNeverBecomesNoLease) {
  EXPECT_EQ(*LeaseTtlFromWire(Duration(0, 1)), milliseconds(1));
  EXPECT_EQ(*LeaseTtlFromWire(Duration(0, 1'000'000)), milliseconds(1));
  EXPECT_EQ(*LeaseTtlFromWire(Duration(0, 1'000'001)), milliseconds(2));
}

TEST(LeaseTtlFromWireTest, RefusesNegativeAndMalformed) {
  const int64_t min = std::numeric_limits<int64_t>::min();
  const int64_t max = std::numeric_limits<int64_t>::max();
  for (const auto& wire :
       {Duration(-1, 0), Duration(0, -1), Duration(-1, -1), Duration(1, -1), Duration(-1, 1),
        Duration(0, 1'000'000'000), Duration(315'576'000'001, 0), Duration(max, 0),
        Duration(min, 0), Duration(max, 999'999'999), Duration(0, -2'147'483'648)}) {
    ExpectInvalid(LeaseTtlFromWire(wire), "lease_ttl: found " + std::to_string(wire.seconds()));
  }
}

TEST(DurationFromWireTest, RefusesWhatIsLongerThanMax) {
  const milliseconds max(1500);
  EXPECT_EQ(*DurationFromWire(Duration(1, 500'000'000), max, "wait"), max);
  EXPECT_EQ(*DurationFromWire({}, max, "wait"), milliseconds(0));
  ExpectInvalid(DurationFromWire(Duration(1, 500'000'001), max, "wait"),
                "wait: found 1 s 500000001 ns, expected a duration of 0 to 1500 ms");
  ExpectInvalid(DurationFromWire(Duration(-1, 0), max, "wait"), "wait: found -1 s 0 ns");
}

TEST(DurationToWireTest, SplitsSecondsAndNanoseconds) {
  for (const int64_t count : {0, 1, 999, 1000, 1001, 600'000, 123'456'789}) {
    const auto wire = DurationToWire(milliseconds(count));
    EXPECT_EQ(wire.seconds(), count / 1000);
    EXPECT_EQ(wire.nanos(), count % 1000 * 1'000'000);
    EXPECT_EQ(*DurationFromWire(wire, milliseconds(count), "f"), milliseconds(count));
  }
}

TEST(LeaseIdFromWireTest, IsSixteenBytes) {
  EXPECT_EQ(*LeaseIdFromWire(std::string(16, '\0')), std::string(16, '\0'));
  for (const size_t size : {0, 1, 15, 17, 1000}) {
    ExpectInvalid(LeaseIdFromWire(std::string(size, 'l')),
                  "lease_id: found " + std::to_string(size) + " bytes, expected the 16 bytes");
  }
}

}  // namespace
}  // namespace larder
