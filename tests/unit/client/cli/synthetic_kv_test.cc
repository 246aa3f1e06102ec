#include "client/cli/synthetic_kv.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "client/cli/models.h"
#include "client/cli/synthetic_rows.h"

namespace larder::cli {
namespace {

Rope TestRope(RopePairing pairing, uint32_t dim) {
  return {.pairing = pairing, .theta = 1e4, .rotary_dim = dim};
}

KvShape AttentionShape(uint32_t tokens, AxisOrder order = AxisOrder::kNhd) {
  return {.kind = GroupKind::kAttention,
          .dtype = Dtype::kBf16,
          .axis_order = order,
          .layers = 6,
          .kv_heads = 3,
          .head_dim_k = 20,
          .head_dim_v = 12,
          .tokens = tokens};
}

std::vector<std::byte> Filled(const SyntheticKv& kv, uint64_t id, uint64_t token_begin) {
  std::vector<std::byte> raw(kv.block_bytes(), std::byte{0xAA});
  kv.Fill(id, token_begin, raw);
  return raw;
}

SyntheticKv Make(const KvShape& shape, uint64_t seed = 1) {
  return *SyntheticKv::Create(shape, TestRope(RopePairing::kHalf, 20), seed);
}

TEST(SyntheticKvTest, VerifiesWhatItFills) {
  for (const AxisOrder order : {AxisOrder::kNhd, AxisOrder::kHnd}) {
    for (const uint32_t tokens : {1u, 7u, 32u, 2000u}) {
      const SyntheticKv kv = Make(AttentionShape(tokens, order));
      EXPECT_EQ(kv.block_bytes(), 6u * 3 * (20 + 12) * 2 * tokens);
      for (const uint64_t begin :
           {uint64_t{0}, uint64_t{1}, uint64_t{tokens}, uint64_t{1023}, uint64_t{1'000'000'007}}) {
        const std::vector<std::byte> raw = Filled(kv, 42, begin);
        EXPECT_TRUE(kv.Verify(42, begin, raw)) << tokens << " at " << begin;
        EXPECT_EQ(raw, Filled(kv, 42, begin));
      }
    }
  }
}

TEST(SyntheticKvTest, RefusesEverySingleFlippedBit) {
  const SyntheticKv kv = Make(AttentionShape(3));
  std::vector<std::byte> raw = Filled(kv, 42, 96);
  for (size_t bit = 0; bit < raw.size() * 8; ++bit) {
    raw[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_FALSE(kv.Verify(42, 96, raw)) << bit;
    raw[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  EXPECT_FALSE(kv.Verify(42, 96, std::span(raw).first(raw.size() - 1)));
}

TEST(SyntheticKvTest, RefusesAnotherBlockPositionOrSeed) {
  const SyntheticKv kv = Make(AttentionShape(16));
  const std::vector<std::byte> raw = Filled(kv, 42, 16);
  EXPECT_FALSE(kv.Verify(43, 16, raw));
  EXPECT_FALSE(kv.Verify(42, 32, raw));
  EXPECT_FALSE(Make(AttentionShape(16), 2).Verify(42, 16, raw));
}

TEST(SyntheticKvTest, EveryPieceOf64BytesNamesItsBlock) {
  const SyntheticKv kv = Make(AttentionShape(16));
  std::set<std::string> pieces;
  constexpr size_t kBlocks = 2000;
  for (uint64_t id = 0; id < kBlocks; ++id) {
    const std::vector<std::byte> raw = Filled(kv, id, 16);
    pieces.emplace(reinterpret_cast<const char*>(raw.data()) + 128, 64);
  }
  EXPECT_EQ(pieces.size(), kBlocks);
}

TEST(SyntheticKvTest, LayersWithTheSameRowsStillDiffer) {
  const SyntheticKv kv = Make(AttentionShape(16));
  std::vector<std::byte> raw = Filled(kv, 42, 16);
  const size_t layer = raw.size() / 6;
  // Layers 0 and 4 share their rows.
  std::swap_ranges(raw.begin(), raw.begin() + layer, raw.begin() + 4 * layer);
  EXPECT_FALSE(kv.Verify(42, 16, raw));
}

TEST(SyntheticKvTest, AxisOrdersHoldTheSameValuesUpToTheMask) {
  const SyntheticKv nhd = Make(AttentionShape(4, AxisOrder::kNhd));
  const SyntheticKv hnd = Make(AttentionShape(4, AxisOrder::kHnd));
  const std::vector<std::byte> by_token = Filled(nhd, 1, 8);
  const std::vector<std::byte> by_head = Filled(hnd, 1, 8);
  const auto value = [](const std::vector<std::byte>& raw, size_t index) {
    uint16_t bits;
    std::memcpy(&bits, raw.data() + 2 * index, 2);
    return bits & ~3;
  };
  for (size_t t = 0; t < 4; ++t) {
    for (size_t h = 0; h < 3; ++h) {
      for (size_t j = 0; j < 20; ++j) {
        EXPECT_EQ(value(by_token, (t * 3 + h) * 20 + j), value(by_head, (h * 4 + t) * 20 + j));
      }
    }
  }
}

TEST(SyntheticKvTest, MakesLatentsAndRefusesOtherKinds) {
  const auto preset = FindModelPreset("deepseek-v3");
  const Manifest manifest = ManifestOf(*preset, 2);
  const auto kv = SyntheticKv::Create(ShapeOf(manifest, manifest.groups[0]), manifest.rope, 1);
  ASSERT_TRUE(kv.ok()) << kv.status();
  EXPECT_EQ(kv->block_bytes(), 2u * 70'272);
  EXPECT_TRUE(kv->Verify(5, 2, Filled(*kv, 5, 2)));

  KvShape state{.kind = GroupKind::kState, .dtype = Dtype::kBf16, .layers = 1, .unit_bytes = 64};
  EXPECT_EQ(SyntheticKv::Create(state, {}, 1).status().code(), absl::StatusCode::kInvalidArgument);
  KvShape fp8 = AttentionShape(1);
  fp8.dtype = Dtype::kFp8E4M3;
  EXPECT_EQ(SyntheticKv::Create(fp8, {}, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SyntheticKv::Create(AttentionShape(0), {}, 1).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// One head of rows as floats, [position][channel].
std::vector<std::vector<double>> Rows(StreamKind kind, const Rope& rope, uint32_t dim) {
  const auto bits =
      MakeRows({.kind = kind, .heads = 1, .head_dim = dim, .positions = 1025, .seed = 7}, rope);
  std::vector<std::vector<double>> rows;
  for (size_t at = 0; at < bits.size(); at += dim) {
    auto& row = rows.emplace_back();
    for (size_t j = 0; j < dim; ++j) row.push_back(FromBf16(bits[at + j]));
  }
  return rows;
}

std::vector<double> Means(const std::vector<std::vector<double>>& rows) {
  std::vector<double> means(rows[0].size());
  for (size_t t = 1; t < rows.size(); ++t) {
    for (size_t j = 0; j < means.size(); ++j) means[j] += rows[t][j] / (rows.size() - 1.0);
  }
  return means;
}

// Of the means of the 16 fastest pairs of 64.
double FastMean(const Rope& rope, const std::vector<std::vector<double>>& rows) {
  const std::vector<double> means = Means(rows);
  double energy = 0;
  for (size_t j = 0; j < 16; ++j) {
    const bool half = rope.pairing == RopePairing::kHalf;
    energy += std::norm(std::complex(means[half ? j : 2 * j], means[half ? j + 64 : 2 * j + 1]));
  }
  return std::sqrt(energy);
}

double Norm(const std::vector<double>& row) {
  return std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
}

// Rotates back by the definition: pairs as complex numbers, times exp(-i p w).
void Unrotate(const Rope& rope, std::vector<std::vector<double>>& rows) {
  const uint32_t pairs = rope.rotary_dim / 2;
  for (size_t p = 0; p < rows.size(); ++p) {
    for (uint32_t j = 0; j < pairs; ++j) {
      const bool half = rope.pairing == RopePairing::kHalf;
      double& x = rows[p][half ? j : 2 * j];
      double& y = rows[p][half ? j + pairs : 2 * j + 1];
      const double w = std::pow(rope.theta, -2.0 * j / rope.rotary_dim);
      const std::complex<double> back =
          std::complex<double>(x, y) * std::polar(1.0, -w * static_cast<double>(p));
      x = back.real();
      y = back.imag();
    }
  }
}

TEST(SyntheticRowsTest, KeysHaveOutlierChannelsAndRopeByPosition) {
  for (const RopePairing pairing : {RopePairing::kHalf, RopePairing::kInterleaved}) {
    const Rope rope = TestRope(pairing, 128);
    auto rows = Rows(StreamKind::kKey, rope, 128);
    const double rotated_mean = FastMean(rope, rows);
    Unrotate(rope, rows);
    // Fast pairs average out under rotation; un-rotated they have a mean again.
    EXPECT_GT(FastMean(rope, rows), 3 * rotated_mean);
    const std::vector<double> means = Means(rows);
    const auto outliers =
        std::count_if(means.begin(), means.end(), [](double m) { return std::abs(m) > 4; });
    EXPECT_GE(outliers, 2);
    EXPECT_LE(outliers, 8);
  }
}

TEST(SyntheticRowsTest, TokenZeroIsASink) {
  const Rope rope = TestRope(RopePairing::kHalf, 128);
  const auto keys = Rows(StreamKind::kKey, rope, 128);
  const auto values = Rows(StreamKind::kValue, rope, 128);
  std::vector<double> key_norms;
  for (size_t t = 1; t < keys.size(); ++t) key_norms.push_back(Norm(keys[t]));
  std::nth_element(key_norms.begin(), key_norms.begin() + key_norms.size() / 2, key_norms.end());
  EXPECT_GT(Norm(keys[0]), 2 * key_norms[key_norms.size() / 2]);
  EXPECT_NEAR(Norm(values[0]), 0.05, 0.001);
  EXPECT_GT(Norm(values[1]), 1);
}

TEST(SyntheticRowsTest, ValuesHaveHeavyTailsAndUnequalChannels) {
  const auto rows = Rows(StreamKind::kValue, {}, 128);
  // Kurtosis of a Student t with 5 degrees of freedom is 9; of a Gaussian, 3.
  double second = 0;
  double fourth = 0;
  std::vector<double> energy(128);
  for (size_t t = 1; t < rows.size(); ++t) {
    for (size_t j = 0; j < 128; ++j) energy[j] += rows[t][j] * rows[t][j] / 1024;
  }
  for (size_t t = 1; t < rows.size(); ++t) {
    for (size_t j = 0; j < 128; ++j) {
      const double z = rows[t][j] / std::sqrt(energy[j]);
      second += z * z / (1024 * 128);
      fourth += z * z * z * z / (1024 * 128);
    }
  }
  EXPECT_GT(fourth / (second * second), 4);
  // Log-normal scales with sigma 0.5: the largest channel is several times the smallest.
  const auto [low, high] = std::minmax_element(energy.begin(), energy.end());
  EXPECT_GT(std::sqrt(*high / *low), 4);
}

TEST(SyntheticRowsTest, RoundsToNearestEven) {
  EXPECT_EQ(ToBf16(1.0f), 0x3F80);
  EXPECT_EQ(ToBf16(1.00390625f), 0x3F80);  // halfway, to even
  EXPECT_EQ(ToBf16(1.01171875f), 0x3F82);  // halfway, to even
  EXPECT_EQ(FromBf16(0xC000), -2.0f);
}

}  // namespace
}  // namespace larder::cli
