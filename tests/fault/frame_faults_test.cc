// Damage over frames of every codec: bit flips, overwritten bytes, swapped lines, truncations and
// additions. Every one must be noticed before a byte is decoded, and the decoder itself, given the
// damaged stream all the same, must not break.
//
//   frame_faults_test --faults=1000000 --seed=1
#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/codec/block_coder.h"
#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder {
namespace {

using Bytes = std::vector<std::byte>;

uint64_t faults_wanted = 40'000;  // about two seconds; a full run asks for 10^6
uint64_t seed = 20260901;

struct Sample {
  std::string plan;
  Bytes frame;
  FrameView view;
};

// Every plan over small frames of several shapes: damage is everywhere, whatever the size.
std::vector<Sample> Samples() {
  std::vector<std::string> plans;
  for (const PresetRow& row : Presets()) plans.emplace_back(row.name);
  for (const FormatRow& row : Formats()) plans.emplace_back(row.name);
  std::vector<Sample> samples;
  BlockCoder coder;
  for (const std::string& plan : plans) {
    for (const uint32_t tokens : {16u, 40u}) {
      KvShape shape = AttentionShape(tokens, tokens == 16 ? 128 : 64);
      shape.layers = 1;
      BlockRecipe recipe = RecipeOf(plan);
      recipe.sinks = tokens == 40 ? 4 : 0;
      Sample sample;
      sample.plan = plan;
      sample.frame = coder
                         .Encode(recipe, IdentityAt(tokens == 40 ? 0 : 64), shape,
                                 GaussianBlock(shape, tokens))
                         .frame;
      EXPECT_EQ(FrameView::Parse(sample.frame, &sample.view), FrameFault::kNone) << plan;
      samples.push_back(std::move(sample));
    }
  }
  return samples;
}

// The reader's path up to where decoding would begin.
FrameFault Check(const Bytes& frame) {
  FrameView view;
  FrameFault fault = FrameView::Parse(frame, &view);
  if (fault == FrameFault::kNone) fault = CheckCodecs(view);
  if (fault != FrameFault::kNone) return fault;
  FrameVerifier verifier(view);
  fault = verifier.Update(std::span(frame).subspan(view.header().header_bytes));
  return fault != FrameFault::kNone ? fault : verifier.Finish();
}

void Damage(Bytes& frame, std::mt19937_64& random) {
  switch (random() % 6) {
    case 0:
    case 1:  // one bit
      frame[random() % frame.size()] ^= static_cast<std::byte>(1u << random() % 8);
      break;
    case 2:  // several bytes
      for (uint64_t n = 1 + random() % 16; n > 0; --n) {
        frame[random() % frame.size()] = static_cast<std::byte>(random());
      }
      break;
    case 3: {  // two lines of 64 bytes change places
      const size_t lines = frame.size() / 64;
      const size_t a = random() % lines, b = random() % lines;
      std::swap_ranges(frame.begin() + a * 64, frame.begin() + a * 64 + 64, frame.begin() + b * 64);
      break;
    }
    case 4:
      frame.resize(random() % frame.size());
      break;
    default:
      frame.resize(frame.size() + 1 + random() % 128, static_cast<std::byte>(random()));
      break;
  }
}

TEST(FrameFaultsTest, EveryOneIsNoticedAndNoneBreaksTheDecoder) {
  const std::vector<Sample> samples = Samples();
  std::mt19937_64 random(seed);
  BlockCoder coder;
  uint64_t damaged = 0, decoded = 0;
  for (uint64_t i = 0; damaged < faults_wanted; ++i) {
    const Sample& sample = samples[i % samples.size()];
    Bytes frame = sample.frame;
    Damage(frame, random);
    if (frame == sample.frame) continue;
    ++damaged;
    ASSERT_NE(Check(frame), FrameFault::kNone)
        << sample.plan << ", seed " << seed << ", fault " << i;
    if (frame.size() < sample.frame.size()) continue;
    // Past all checks, as if the checksum had been forged.
    Bytes raw(sample.view.header().raw_bytes);
    const RawTarget target(sample.view.shape(), raw);
    for (size_t s = 0; s < sample.view.streams().size(); ++s) {
      const StreamEntry& stream = sample.view.streams()[s];
      const Bytes bytes(frame.begin() + stream.offset,
                        frame.begin() + stream.offset + stream.bytes);
      decoded += coder.DecodeStream(sample.view, s, bytes, target);
    }
  }
  std::printf("seed %" PRIu64 ": %" PRIu64
              " faults over %zu frames of %zu plans, all noticed; %" PRIu64
              " damaged streams decoded without harm\n",
              seed, damaged, samples.size(), samples.size() / 2, decoded);
  EXPECT_GT(decoded, damaged / 4);
}

}  // namespace
}  // namespace larder

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument.starts_with("--faults=")) {
      larder::faults_wanted = std::strtoull(argv[i] + 9, nullptr, 10);
    } else if (argument.starts_with("--seed=")) {
      larder::seed = std::strtoull(argv[i] + 7, nullptr, 10);
    } else {
      std::fprintf(stderr, "unknown argument %s; known are --faults=N and --seed=N\n", argv[i]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
