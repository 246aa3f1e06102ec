#include "server/store/space_table.h"

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

TEST(SpaceTableTest, RegistrationIsIdempotentAndDistinguishesEverything) {
  Metrics metrics;
  const CodecPolicy codecs{Config()};
  const TenantAccounts tenants{Config()};
  SpaceTable spaces(codecs, tenants, metrics);
  const SpaceEntry* first = spaces.Register("a", TestManifest()).value()[0];
  EXPECT_EQ(spaces.Register("a", TestManifest()).value()[0], first);
  EXPECT_NE(spaces.Register("b", TestManifest()).value()[0]->id, first->id);
  Manifest other = TestManifest();
  other.adapter = "lora";
  EXPECT_NE(spaces.Register("a", other).value()[0]->digest, first->digest);
  EXPECT_EQ(spaces.size(), 3u);
  EXPECT_EQ(spaces.Find(first->id).value(), first);
}

TEST(SpaceTableTest, UnknownSpacesAreAFailedPrecondition) {
  Metrics metrics;
  const CodecPolicy codecs{Config()};
  const TenantAccounts tenants{Config()};
  SpaceTable spaces(codecs, tenants, metrics);
  EXPECT_EQ(spaces.Find(42).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SpaceTableTest, RefusesMoreSpacesThanItsBound) {
  Metrics metrics;
  const CodecPolicy codecs{Config()};
  const TenantAccounts tenants{Config()};
  SpaceTable spaces(codecs, tenants, metrics);
  for (uint32_t i = 0; i < kSpacesMax; ++i) {
    ASSERT_TRUE(spaces.Register("tenant-" + std::to_string(i), TestManifest()).ok());
  }
  EXPECT_EQ(spaces.Register("one-more", TestManifest()).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(spaces.Register("tenant-7", TestManifest()).ok());
}

}  // namespace
}  // namespace larder::server
