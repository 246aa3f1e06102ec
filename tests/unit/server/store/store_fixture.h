// A store over a fake tier and a manual clock, with one registered space, and the frames to fill
// it.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/format/frame.h"
#include "proto/contract/manifest.h"
#include "server/store/store.h"
#include "tests/fakes/fake_tier.h"
#include "tests/fakes/manual_clock.h"

namespace larder::server {

inline Manifest TestManifest(uint32_t unit_bytes = 5000) {
  Manifest manifest;
  manifest.model = "test-model";
  manifest.dtype = Dtype::kUint8;
  manifest.block_tokens = 16;
  manifest.hash_scheme.name = "test";
  LayerGroup group;
  group.name = "state";
  group.kind = GroupKind::kState;
  group.layers = 1;
  group.unit_bytes = unit_bytes;
  manifest.groups.push_back(group);
  return manifest;
}

inline PrefixHash HashOf(uint64_t number) {
  PrefixHash hash;
  hash.size = 32;
  std::memcpy(hash.bytes.data(), &number, sizeof(number));
  return hash;
}

using Bytes = std::vector<std::byte>;

inline Bytes RawOf(const SpaceEntry& space, uint64_t number) {
  Bytes raw(space.raw_bytes);
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<std::byte>(number * 131 + i * 7);
  return raw;
}

// The frame of block `number` whose parent is `parent` (0: none), over RawOf(content).
inline Bytes FrameOf(const SpaceEntry& space, uint64_t number, uint64_t parent, uint64_t content) {
  FrameIdentity identity;
  identity.space_digest = space.digest;
  identity.manifest_digest = space.manifest_digest;
  identity.prefix_hash = HashOf(number).bytes;
  identity.prefix_hash_bytes = 32;
  if (parent != 0) {
    identity.parent_hash = HashOf(parent).bytes;
    identity.parent_hash_bytes = 32;
  }
  const Bytes raw = RawOf(space, content);
  Bytes frame = BuildRawFrameHeader(identity, space.shape, raw);
  frame.insert(frame.end(), raw.begin(), raw.end());
  frame.resize(RawFrameBytes(space.shape));
  return frame;
}

class StoreFixture : public ::testing::Test {
 protected:
  static constexpr uint64_t kBlocks = 8;          // what the tier holds
  static constexpr uint64_t kFrameGranules = 11;  // of TestManifest's 5,440-byte frames

  explicit StoreFixture(Config config = {})
      : StoreFixture(config, kBlocks * kFrameGranules * kGranuleBytes) {}
  StoreFixture(Config config, uint64_t tier_bytes, const SsdParts* ssd = nullptr,
               DeviceTier* hbm = nullptr, DeviceEncoder* encoder = nullptr)
      : tier(tier_bytes),
        store(Resized(config, tier_bytes), {tier, ssd, hbm, encoder}, clock, metrics) {
    space = store.spaces().Register("default", TestManifest()).value()[0];
  }
  ~StoreFixture() override {
    store.leases().ReleaseAll();
    EXPECT_EQ(store.blocks().stats().pinned_blocks, 0u);
    EXPECT_EQ(store.ingest_budget().used(), 0u);
    EXPECT_EQ(tier.live_slabs(), store.blocks().stats().memory_blocks);
  }

  static Config Resized(Config config, uint64_t bytes) {
    config.dram_bytes = bytes;
    return config;
  }

  static std::vector<IngestResult> FinishNow(IngestSession& session) {
    std::vector<IngestResult> results;
    session.Finish([&](std::vector<IngestResult> finished) { results = std::move(finished); });
    return results;
  }
  FetchAnswer FetchNow(uint64_t number, const FetchSession::Options& options = {}) {
    FetchSession session = store.OpenFetch(*space, {HashOf(number)}, options);
    FetchAnswer answer = MissReason::kNone;
    session.Next([&](FetchAnswer found) { answer = std::move(found); });
    return answer;
  }

  // Puts one frame in pieces of `piece` bytes.
  IngestResult PutFrame(const Bytes& frame, const RetentionSpec& retention = {},
                        size_t piece = 1000) {
    IngestSession session = store.OpenIngest(*space, 1);
    EXPECT_TRUE(session.Begin(0, frame.size(), retention).ok());
    for (size_t at = 0; at < frame.size(); at += piece) {
      EXPECT_TRUE(
          session.Write(0, std::span(frame).subspan(at, std::min(piece, frame.size() - at))).ok());
    }
    return FinishNow(session)[0];
  }
  PutOutcome Put(uint64_t number, uint64_t parent = 0, const RetentionSpec& retention = {}) {
    return PutFrame(FrameOf(*space, number, parent, number), retention).outcome;
  }
  // Blocks first..last as one chain.
  void PutChain(uint64_t first, uint64_t last) {
    for (uint64_t number = first; number <= last; ++number) {
      ASSERT_EQ(Put(number, number == first ? 0 : number - 1), PutOutcome::kStored) << number;
    }
  }
  static std::vector<PrefixHash> Hashes(uint64_t first, uint64_t last) {
    std::vector<PrefixHash> hashes;
    for (uint64_t number = first; number <= last; ++number) hashes.push_back(HashOf(number));
    return hashes;
  }
  LookupAnswer Look(uint64_t first, uint64_t last, int lease_ms = 0) {
    return store.lookup()
        .Run(*space, Hashes(first, last), Fidelity::kUnspecified, "client",
             std::chrono::milliseconds(lease_ms))
        .value();
  }
  size_t Resident(uint64_t first, uint64_t last) { return Look(first, last).blocks.size(); }
  // The whole frame of a hit; empty on a miss, whose reason goes to `reason`.
  Bytes GetFrame(uint64_t number, MissReason* reason = nullptr, bool verify = true) {
    auto found = FetchNow(number, {.verify = verify});
    if (auto* miss = std::get_if<MissReason>(&found)) {
      if (reason != nullptr) *reason = *miss;
      return {};
    }
    Bytes bytes;
    for (const auto span : std::get<PinnedFrame>(found).spans) {
      bytes.insert(bytes.end(), span.begin(), span.end());
    }
    return bytes;
  }

  ManualClock clock;
  Metrics metrics;
  FakeTier tier;
  Store store;
  const SpaceEntry* space = nullptr;
};

}  // namespace larder::server
