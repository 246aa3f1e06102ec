#include "client/cli/synthetic_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "client/cli/random.h"
#include "client/cli/synthetic_kv.h"

namespace larder::cli {
namespace {

constexpr double kChannelScaleSigma = 0.5;
constexpr double kChannelMeanSigma = 0.5;  // in channel scales
constexpr double kOutlierMeanMin = 8;      // in channel scales
constexpr double kOutlierMeanMax = 16;
constexpr double kTokenNormFreedom = 5;  // of the Student t
constexpr double kSinkKeyScale = 4;      // in channel means
constexpr double kSinkValueNorm = 0.05;

// What all tokens of one head have in common.
struct HeadStatistics {
  std::vector<double> mean;
  std::vector<double> scale;
};

bool IsRotated(StreamKind kind) { return kind == StreamKind::kKey || kind == StreamKind::kRope; }
bool IsKey(StreamKind kind) { return kind != StreamKind::kValue; }

// The pair that channel `channel` belongs to, and its partner; rotary channels only.
uint32_t PairOf(const Rope& rope, uint32_t channel) {
  return rope.pairing == RopePairing::kHalf ? channel % (rope.rotary_dim / 2) : channel / 2;
}

HeadStatistics DrawHead(const RowOptions& options, const Rope& rope, Random& random) {
  HeadStatistics head;
  for (uint32_t j = 0; j < options.head_dim; ++j) {
    head.scale.push_back(random.LogNormal(1, kChannelScaleSigma));
    head.mean.push_back(IsKey(options.kind) ? head.scale[j] * kChannelMeanSigma * random.Normal()
                                            : 0);
  }
  if (options.kind != StreamKind::kKey) return head;
  // Outliers sit where RoPE turns slowly (the last quarter of the pairs); anywhere without RoPE.
  std::vector<uint32_t> candidates;
  const uint32_t rotary_dim =
      rope.pairing == RopePairing::kNone ? 0 : std::min(rope.rotary_dim, options.head_dim);
  for (uint32_t j = 0; j < options.head_dim; ++j) {
    const bool slow = j < rotary_dim && PairOf(rope, j) * 8 >= rotary_dim * 3;
    if (slow || rotary_dim == 0) candidates.push_back(j);
  }
  for (uint32_t i = 0; i < SyntheticKv::kOutlierChannels && !candidates.empty(); ++i) {
    const size_t pick = random.Below(candidates.size());
    const double size = kOutlierMeanMin + (kOutlierMeanMax - kOutlierMeanMin) * random.Uniform();
    const double sign = random.Below(2) == 0 ? -1 : 1;
    head.mean[candidates[pick]] = sign * size * head.scale[candidates[pick]];
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(pick));
  }
  return head;
}

// sqrt(freedom / chi-squared): the factor that makes a normal vector Student-t.
double DrawTokenNorm(Random& random) {
  double chi_squared = 0;
  for (int i = 0; i < kTokenNormFreedom; ++i) {
    const double normal = random.Normal();
    chi_squared += normal * normal;
  }
  return std::sqrt(kTokenNormFreedom / std::max(chi_squared, 1e-3));
}

// Rotates `row` by its position, as an engine's RoPE does.
void Rotate(const Rope& rope, uint32_t position, std::span<double> row) {
  const uint32_t pairs = std::min<uint32_t>(rope.rotary_dim, row.size()) / 2;
  const bool half = rope.pairing == RopePairing::kHalf;
  for (uint32_t pair = 0; pair < pairs; ++pair) {
    const double angle = position * std::pow(rope.theta, -2.0 * pair / rope.rotary_dim);
    double& x = row[half ? pair : 2 * pair];
    double& y = row[half ? pair + pairs : 2 * pair + 1];
    const double cosine = rope.attention_factor * std::cos(angle);
    const double sine = rope.attention_factor * std::sin(angle);
    const double rotated_x = x * cosine - y * sine;
    y = x * sine + y * cosine;
    x = rotated_x;
  }
}

void MakeSink(StreamKind kind, const HeadStatistics& head, Random& random, std::span<double> row) {
  if (IsKey(kind)) {
    for (size_t j = 0; j < row.size(); ++j) row[j] = kSinkKeyScale * head.mean[j];
    return;
  }
  double energy = 0;
  for (double& value : row) {
    value = random.Normal();
    energy += value * value;
  }
  for (double& value : row) value *= kSinkValueNorm / std::sqrt(energy);
}

}  // namespace

uint16_t ToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

float FromBf16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

std::vector<uint16_t> MakeRows(const RowOptions& options, const Rope& rope) {
  Random random(options.seed);
  std::vector<uint16_t> rows;
  rows.reserve(size_t{options.heads} * options.positions * options.head_dim);
  std::vector<double> row(options.head_dim);
  for (uint32_t h = 0; h < options.heads; ++h) {
    const HeadStatistics head = DrawHead(options, rope, random);
    for (uint32_t position = 0; position < options.positions; ++position) {
      if (position == 0) {
        MakeSink(options.kind, head, random, row);
      } else {
        const double norm = DrawTokenNorm(random);
        for (uint32_t j = 0; j < options.head_dim; ++j) {
          row[j] = head.mean[j] + norm * head.scale[j] * random.Normal();
        }
      }
      if (IsRotated(options.kind) && rope.pairing != RopePairing::kNone) {
        Rotate(rope, position, row);
      }
      for (const double value : row) rows.push_back(ToBf16(static_cast<float>(value)));
    }
  }
  return rows;
}

}  // namespace larder::cli
