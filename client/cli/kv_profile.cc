#include "client/cli/kv_profile.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>

#include "client/cli/random.h"
#include "kernels/codec/number_formats.h"

namespace larder::cli {
namespace {

constexpr uint32_t kRank = 32;
constexpr double kNoiseShare = 0.3;  // of a key's energy that is not of the low rank
constexpr double kChannelScaleSigma = 0.4;
constexpr double kChannelMeanSigma = 0.44;  // in channel scales
constexpr uint32_t kOutlierChannels = 4;
constexpr double kOutlierMeanMin = 10;
constexpr double kOutlierMeanMax = 14;
constexpr double kOutlierDeviation = 1.5;
constexpr double kOutlierPairFirst = 0.17;  // of the pairs, fastest first: none are outliers
constexpr double kTokenScaleSigma = 0.3;    // of values
constexpr double kNeedleLogit = 8;
constexpr double kQueryNoiseShaped = 0.1;  // share of that noise that follows the keys' variances
constexpr double kQueryNoise = 1.7;        // norm of a query's noise in norms of its signal

double ThetaOf(KvProfile profile) { return profile == KvProfile::kKeysB ? 5e5 : 1e4; }

// What all keys of one head have in common, before RoPE.
struct KeyStatistics {
  std::vector<double> mean;
  std::vector<double> scale;
  std::vector<double> basis;  // [channel][rank]
  uint32_t rank = 0;
};

KeyStatistics DrawKeyStatistics(const KvProfileOptions& options, Random& random) {
  KeyStatistics head;
  const uint32_t dim = options.head_dim;
  head.rank = std::min(kRank, dim);
  for (uint32_t j = 0; j < dim; ++j) {
    head.scale.push_back(random.LogNormal(1, kChannelScaleSigma));
    head.mean.push_back(head.scale[j] * kChannelMeanSigma * random.Normal());
    for (uint32_t r = 0; r < head.rank; ++r) {
      head.basis.push_back(random.Normal() / std::sqrt(head.rank));
    }
  }
  if (options.profile != KvProfile::kKeysB) return head;
  const auto pair_first = static_cast<uint32_t>(kOutlierPairFirst * (dim / 2));
  for (uint32_t i = 0; i < kOutlierChannels; ++i) {
    const uint64_t pair = pair_first + random.Below(dim / 2 - pair_first);
    const uint64_t channel = random.Below(2) == 0 ? pair : pair + dim / 2;
    const double size = kOutlierMeanMin + (kOutlierMeanMax - kOutlierMeanMin) * random.Uniform();
    head.mean[channel] = random.Below(2) == 0 ? size : -size;
    head.scale[channel] = kOutlierDeviation;
  }
  return head;
}

void DrawKey(const KeyStatistics& head, Random& random, std::span<double> row) {
  std::vector<double> latent(head.rank);
  for (double& value : latent) value = random.Normal();
  for (size_t j = 0; j < row.size(); ++j) {
    double low_rank = 0;
    for (uint32_t r = 0; r < head.rank; ++r) low_rank += head.basis[j * head.rank + r] * latent[r];
    const double value =
        std::sqrt(1 - kNoiseShare) * low_rank + std::sqrt(kNoiseShare) * random.Normal();
    row[j] = head.mean[j] + head.scale[j] * value;
  }
}

// Halves paired, as an engine's RoPE does.
void Rotate(double theta, uint64_t position, std::span<double> row) {
  const size_t pairs = row.size() / 2;
  for (size_t pair = 0; pair < pairs; ++pair) {
    const double frequency =
        std::pow(theta, -static_cast<double>(pair) / static_cast<double>(pairs));
    const double angle = static_cast<double>(position) * frequency;
    const double x = row[pair], y = row[pair + pairs];
    row[pair] = x * std::cos(angle) - y * std::sin(angle);
    row[pair + pairs] = x * std::sin(angle) + y * std::cos(angle);
  }
}

void Store(std::span<const double> row, uint16_t* to) {
  for (const double value : row) *to++ = Bf16OfFloat(static_cast<float>(value));
}

std::vector<double> MeanOfRows(std::span<const float> rows, uint32_t dim) {
  std::vector<double> mean(dim);
  for (size_t i = 0; i < rows.size(); ++i) mean[i % dim] += rows[i];
  for (double& value : mean) value /= static_cast<double>(rows.size() / dim);
  return mean;
}

std::vector<double> VarianceOfRows(std::span<const float> rows, const std::vector<double>& mean) {
  std::vector<double> variance(mean.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const double offset = rows[i] - mean[i % mean.size()];
    variance[i % mean.size()] += offset * offset;
  }
  for (double& value : variance) value /= static_cast<double>(rows.size() / mean.size());
  return variance;
}

}  // namespace

std::optional<KvProfile> ParseKvProfile(std::string_view name) {
  if (name == "gaussian") return KvProfile::kGaussian;
  if (name == "keys-a") return KvProfile::kKeysA;
  if (name == "keys-b") return KvProfile::kKeysB;
  return std::nullopt;
}

RopeParams RopeOf(const KvProfileOptions& options) {
  RopeParams rope;
  rope.pairing = 1;
  rope.rotary_dim = static_cast<uint16_t>(options.head_dim);
  rope.theta = ThetaOf(options.profile);
  return rope;
}

KvCache MakeKv(const KvProfileOptions& options) {
  KvCache cache;
  cache.heads = options.heads;
  cache.head_dim_k = cache.head_dim_v = options.head_dim;
  cache.tokens = options.tokens;
  cache.token_begin = options.token_begin;
  const size_t dim = options.head_dim;
  const size_t elements = size_t{options.tokens} * options.heads * dim;
  const bool gaussian = options.profile == KvProfile::kGaussian;
  Random random(Mix64(options.seed) ^ Mix64(static_cast<uint64_t>(options.profile) + 1));
  std::vector<double> row(dim);
  for (uint32_t layer = 0; layer < options.layers; ++layer) {
    std::vector<uint16_t> keys(elements), values(elements);
    for (uint32_t head = 0; head < options.heads; ++head) {
      KeyStatistics statistics;
      if (!gaussian) statistics = DrawKeyStatistics(options, random);
      for (uint32_t token = 0; token < options.tokens; ++token) {
        const size_t at = (size_t{token} * options.heads + head) * dim;
        if (gaussian) {
          for (double& value : row) value = random.Normal();
        } else {
          DrawKey(statistics, random, row);
          Rotate(ThetaOf(options.profile), options.token_begin + token, row);
        }
        Store(row, &keys[at]);
        const double scale = gaussian ? 1 : random.LogNormal(1, kTokenScaleSigma);
        for (double& value : row) value = scale * random.Normal();
        Store(row, &values[at]);
      }
    }
    cache.keys.push_back(std::move(keys));
    cache.values.push_back(std::move(values));
  }
  return cache;
}

std::vector<std::vector<float>> MakeNeedleQueries(const KvCache& cache, uint32_t queries,
                                                  uint64_t seed) {
  Random random(Mix64(seed ^ 0x6E6565646C65));
  const uint32_t dim = cache.head_dim_k;
  std::vector<std::vector<float>> heads;
  for (uint32_t layer = 0; layer < cache.layers(); ++layer) {
    for (uint32_t head = 0; head < cache.heads; ++head) {
      const std::vector<float> keys = RowsOfHead(cache, StreamKind::kKey, layer, head);
      const std::vector<double> mean = MeanOfRows(keys, dim);
      std::vector<float>& out = heads.emplace_back();
      // One scale for the head, so that a token far from the mean stands out more than one near it.
      const std::vector<double> variance = VarianceOfRows(keys, mean);
      const double energy = std::accumulate(variance.begin(), variance.end(), 1e-12);
      const double signal = kNeedleLogit * std::sqrt(dim) / energy;
      const double noise = kQueryNoise * kNeedleLogit / std::sqrt(energy);
      for (uint32_t query = 0; query < queries; ++query) {
        const float* key = &keys[random.Below(cache.tokens) * dim];
        for (uint32_t i = 0; i < dim; ++i) {
          const double shape =
              1 - kQueryNoiseShaped + kQueryNoiseShaped * variance[i] * dim / energy;
          const double value =
              signal * (key[i] - mean[i]) + noise * std::sqrt(shape) * random.Normal();
          out.push_back(static_cast<float>(value));
        }
      }
    }
  }
  return heads;
}

}  // namespace larder::cli
