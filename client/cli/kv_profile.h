// Synthetic keys, values and queries for judging codecs without a model: small enough to reason
// about, and with the statistics that codecs are known to stumble over.
//
//   gaussian  keys and values N(0, 1)
//   keys-a    keys of rank 32 plus noise, log-normal channel scales, a mean per channel; RoPE with
//             theta 1e4; values N(0, 1) times a log-normal scale per token (sigma 0.3)
//   keys-b    the same with four outlier channels (|mean| 10 to 14, standard deviation 1.5) in the
//             slower RoPE pairs, and theta 5e5
// Positions begin at 1000. Queries are needles: each aims at one token, whose logit is about 8 (its
// distance from the mean key decides), and has 1.7 times as much of noise, a tenth of it shaped like
// the keys. Drawn after RoPE, from the keys, so that any cache can have them.
//
// Shape  bf16, one head per KV head (grouped queries share keys, which changes no figure here).
// Determinism  equal for equal options and one libm.   Cost  about 30 ns per element.
// The free parameters (noise, spreads) are constants of kv_profile.cc, chosen so that plain formats
// (fp8, q8_0, q4_0, 3-bit codebooks) err as in the project's earlier measurements on such data.
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "client/cli/kv_cache.h"
#include "kernels/codec/block_coder.h"

namespace larder::cli {

enum class KvProfile { kGaussian, kKeysA, kKeysB };

// nullopt when unknown.
std::optional<KvProfile> ParseKvProfile(std::string_view name);

struct KvProfileOptions {
  KvProfile profile = KvProfile::kKeysB;
  uint32_t layers = 3;
  uint32_t heads = 4;
  uint32_t head_dim = 128;  // even
  uint32_t tokens = 256;
  uint64_t token_begin = 1000;
  uint64_t seed = 1;
};

// The rotary embedding that MakeKv applied, which codecs may turn back. For kGaussian one that its
// keys look alike under.
RopeParams RopeOf(const KvProfileOptions& options);

KvCache MakeKv(const KvProfileOptions& options);

// [layer * heads + head][query][head_dim_k] in fp32.
std::vector<std::vector<float>> MakeNeedleQueries(const KvCache& cache, uint32_t queries,
                                                  uint64_t seed);

}  // namespace larder::cli
