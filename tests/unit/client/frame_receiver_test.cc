#include "client/frame_receiver.h"

#include <atomic>
#include <random>
#include <thread>

#include "gtest/gtest.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder {
namespace {

using testing::Bytes;

// A frame of several layers whose streams need padding, and what its reader expects.
struct Sample {
  explicit Sample(uint32_t tokens = 7, uint32_t kv_heads = 2) {
    shape.kind = GroupKind::kAttention;
    shape.dtype = Dtype::kBf16;
    shape.axis_order = AxisOrder::kNhd;
    shape.layers = 3;
    shape.kv_heads = kv_heads;
    shape.head_dim_k = 5;
    shape.head_dim_v = 3;
    shape.tokens = 7;
    expected.shape = shape;
    expected.hash.size = 4;
    expected.hash.bytes = {1, 2, 3, 4};
    expected.space_digest.fill(7);
    expected.manifest_digest.fill(8);
    FrameIdentity identity;
    identity.space_digest = expected.space_digest;
    identity.manifest_digest = expected.manifest_digest;
    identity.prefix_hash = expected.hash.bytes;
    identity.prefix_hash_bytes = expected.hash.size;
    KvShape stored = shape;
    stored.tokens = tokens;
    std::mt19937_64 random(1);
    raw = testing::RandomBytes(random, *RawBytes(stored));
    frame = BuildRawFrameHeader(identity, stored, raw);
    for (const RawStream& stream : RawStreams(stored)) {
      frame.insert(frame.end(), raw.begin() + stream.offset,
                   raw.begin() + stream.offset + stream.bytes);
      frame.resize(AlignFrame(frame.size()));
    }
    destination.resize(*RawBytes(shape), std::byte{0xEE});
  }

  bool Receive(const Bytes& bytes, size_t piece) {
    FrameReceiver receiver(expected, bytes.size(), destination, coders);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      receiver.Write(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
    return receiver.Finish();
  }

  KvShape shape;
  ExpectedFrame expected;
  Bytes raw, frame, destination;
  CoderPool coders;
};

TEST(FrameReceiverTest, WritesTheRawBlockHoweverTheFrameIsCut) {
  for (size_t piece = 1; piece < 700; piece += 13) {
    Sample sample;
    ASSERT_TRUE(sample.Receive(sample.frame, piece)) << piece;
    EXPECT_EQ(sample.destination, sample.raw);
  }
}

TEST(FrameReceiverTest, AcceptsAPartialTailBlock) {
  Sample sample(/*tokens=*/3);
  ASSERT_TRUE(sample.Receive(sample.frame, 100));
  EXPECT_TRUE(std::equal(sample.raw.begin(), sample.raw.end(), sample.destination.begin()));
  EXPECT_EQ(sample.destination.back(), std::byte{0xEE});
}

TEST(FrameReceiverTest, EveryFlippedBitIsNoticed) {
  const Sample good;
  for (size_t bit = 0; bit < good.frame.size() * 8; bit += 3) {
    Sample sample;
    sample.frame[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    ASSERT_FALSE(sample.Receive(sample.frame, 1000)) << "bit " << bit;
  }
}

TEST(FrameReceiverTest, EveryTruncationIsNoticed) {
  const Sample good;
  for (size_t size = 0; size < good.frame.size(); ++size) {
    Sample sample;
    FrameReceiver receiver(sample.expected, sample.frame.size(), sample.destination, sample.coders);
    receiver.Write(std::span(good.frame).first(size));
    ASSERT_FALSE(receiver.Finish()) << size;
  }
}

TEST(FrameReceiverTest, AnotherBlocksFrameIsRefused) {
  const auto refused = [](auto&& change) {
    Sample sample;
    change(sample.expected);
    EXPECT_FALSE(sample.Receive(sample.frame, 1000));
  };
  refused([](ExpectedFrame& e) { e.hash.bytes[0] ^= 1; });
  refused([](ExpectedFrame& e) { e.space_digest[0] ^= 1; });
  refused([](ExpectedFrame& e) { e.manifest_digest[0] ^= 1; });
  refused([](ExpectedFrame& e) { e.shape.kv_heads = 1; });
  refused([](ExpectedFrame& e) { e.shape.tokens = 5; });
}

TEST(FrameReceiverTest, BytesPastTheFrameAreRefused) {
  Sample sample;
  sample.frame.resize(sample.frame.size() + 1);
  EXPECT_FALSE(sample.Receive(sample.frame, 1000));
}

// From a window: a small frame by way of the caches, a large one past them.
TEST(FrameReceiverTest, CopiesFromAWindowToAnyAddress) {
  for (const uint32_t kv_heads : {2u, 1000u}) {
    const Sample good(7, kv_heads);
    for (const size_t shift : {0u, 1u, 8u, 32u, 63u}) {
      for (const size_t piece : {good.frame.size(), size_t{131'072}, size_t{65'600}}) {
        Sample sample(7, kv_heads);
        Bytes memory(sample.raw.size() + 128, std::byte{0xEE});
        const std::span<std::byte> destination(memory.data() + shift, sample.raw.size());
        FrameReceiver receiver(sample.expected, sample.frame.size(), destination, sample.coders,
                               {.contiguous = true});
        for (size_t at = 0; at < sample.frame.size(); at += piece) {
          receiver.Write(
              std::span(sample.frame).subspan(at, std::min(piece, sample.frame.size() - at)));
        }
        ASSERT_TRUE(receiver.Finish()) << kv_heads << " " << shift << " " << piece;
        EXPECT_TRUE(std::equal(sample.raw.begin(), sample.raw.end(), destination.begin()));
        EXPECT_EQ(memory[shift + sample.raw.size()], std::byte{0xEE});
        if (shift > 0) {
          EXPECT_EQ(memory[shift - 1], std::byte{0xEE});
        }
      }
    }
  }
}

TEST(FrameReceiverTest, AFlippedBitInAWindowIsNoticed) {
  Sample sample(7, 1000);
  for (size_t at = 0; at < sample.frame.size(); at += 4093) {
    sample.frame[at] ^= std::byte{1};
    FrameReceiver receiver(sample.expected, sample.frame.size(), sample.destination, sample.coders,
                           {.contiguous = true});
    receiver.Write(sample.frame);
    EXPECT_FALSE(receiver.Finish()) << at;
    sample.frame[at] ^= std::byte{1};
  }
}

#if !defined(LARDER_THREAD_SANITIZER)
// A race on purpose: what stands in a window may be written over while it is read.
TEST(FrameReceiverTest, WhatChangesInAWindowIsRefusedOrRight) {
  for (const uint32_t kv_heads : {2u, 1000u}) {
    Sample sample(7, kv_heads);
    std::byte& changing = sample.frame[sample.frame.size() - 200];
    const std::byte right = changing;
    const std::jthread changes([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        std::atomic_ref(changing).store(right ^ std::byte{1}, std::memory_order_relaxed);
        std::atomic_ref(changing).store(right, std::memory_order_relaxed);
      }
    });
    for (int round = 0; round < 3000; ++round) {
      FrameReceiver receiver(sample.expected, sample.frame.size(), sample.destination,
                             sample.coders, {.contiguous = true});
      receiver.Write(sample.frame);
      if (receiver.Finish()) {
        ASSERT_EQ(sample.destination, sample.raw) << round;
      }
    }
  }
}
#endif

TEST(FrameReceiverTest, LeavesARawFrameWithoutGapsWhereItArrives) {
  Sample sample;
  sample.shape.head_dim_k = sample.shape.head_dim_v = 32;  // streams of a multiple of 64 bytes
  sample.shape.tokens = sample.expected.shape.tokens = 8;
  sample.expected.shape = sample.shape;
  std::mt19937_64 random(2);
  sample.raw = testing::RandomBytes(random, *RawBytes(sample.shape));
  FrameIdentity identity;
  identity.space_digest = sample.expected.space_digest;
  identity.manifest_digest = sample.expected.manifest_digest;
  identity.prefix_hash = sample.expected.hash.bytes;
  identity.prefix_hash_bytes = sample.expected.hash.size;
  sample.frame = BuildRawFrameHeader(identity, sample.shape, sample.raw);
  const size_t header = sample.frame.size();
  sample.frame.insert(sample.frame.end(), sample.raw.begin(), sample.raw.end());
  for (const size_t piece : {size_t{1}, size_t{100}, sample.frame.size()}) {
    FrameReceiver receiver(sample.expected, sample.frame.size(), {}, sample.coders,
                           {.contiguous = true, .view = true});
    uint32_t layers = 0;
    for (size_t at = 0; at < sample.frame.size(); at += piece) {
      const auto step = std::min(piece, sample.frame.size() - at);
      EXPECT_TRUE(receiver.Write(std::span(sample.frame).subspan(at, step)));
      EXPECT_GE(receiver.layers_ready(), layers);
      layers = receiver.layers_ready();
    }
    ASSERT_TRUE(receiver.Finish());
    EXPECT_EQ(layers, 3u);
    EXPECT_EQ(receiver.view().data(), sample.frame.data() + header);
    EXPECT_EQ(receiver.view().size(), sample.raw.size());
    EXPECT_EQ(receiver.view_memory(), nullptr);
  }
  sample.frame[header + 7] ^= std::byte{1};
  FrameReceiver receiver(sample.expected, sample.frame.size(), {}, sample.coders,
                         {.contiguous = true, .view = true});
  receiver.Write(sample.frame);
  EXPECT_FALSE(receiver.Finish());
}

TEST(FrameReceiverTest, AViewOfAFrameWithGapsIsACopy) {
  Sample sample;
  for (const bool contiguous : {false, true}) {
    FrameReceiver receiver(sample.expected, sample.frame.size(), {}, sample.coders,
                           {.contiguous = contiguous, .view = true});
    receiver.Write(sample.frame);
    ASSERT_TRUE(receiver.Finish());
    EXPECT_TRUE(std::equal(receiver.view().begin(), receiver.view().end(), sample.raw.begin(),
                           sample.raw.end()));
    EXPECT_EQ(receiver.view_memory().get(), receiver.view().data());
  }
}

}  // namespace
}  // namespace larder
