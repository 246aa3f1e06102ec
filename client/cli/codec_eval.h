// What a codec does to a cache: size, error and speed, of the whole block codec (frames as a server
// would store them), on one core.
//
//   key_bits, value_bits, bits   per element, from the bytes of the encoded streams: means, scales
//             and alignment counted, the frame's header not. No token stays raw as a sink.
//   ratio     raw bytes to bytes of whole frames, headers included
//   encode    raw bytes per second from raw block to frame, checksums included; decode from checked
//             frame to raw block; copy: memcpy of the same bytes. Medians of `repeats` measurements
//             of 10 ms or one pass over all the data, whichever is longer. `repeats` 0: of the one
//             pass that is needed anyway.
// Errors are attention_error.h's and, of keys, inner_product_error.h's. Sizes and errors are equal for equal input; speeds are measured.
// Thread-compatible.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/attention_error.h"
#include "client/cli/kv_cache.h"
#include "kernels/codec/block_coder.h"

namespace larder::cli {

struct CodecScore {
  std::string name;
  Fidelity fidelity = Fidelity::kExact;  // that the frames claim
  double key_bits = 0;
  double value_bits = 0;
  double bits = 0;
  double ratio = 0;
  uint64_t fallback_streams = 0;  // stood raw because their values did not fit the codec
  AttentionScores errors;
  double inner_product_slope = 1;
  double inner_product_variance = 0;
  double encode_bytes_per_second = 0;
  double decode_bytes_per_second = 0;
};

struct CodecEvalOptions {
  RopeParams rope;  // pairing 0: unknown
  uint32_t block_tokens = 256;
  uint32_t queries = 64;
  uint64_t seed = 1;  // of the queries
  uint32_t repeats = 5;
};

class CodecEval {
 public:
  // INVALID_ARGUMENT for a cache that CutIntoPieces refuses or that is not finite. `cache` outlives
  // the result.
  static absl::StatusOr<CodecEval> Create(const KvCache& cache, const CodecEvalOptions& options);

  // INTERNAL when a frame of ours does not decode.
  absl::StatusOr<CodecScore> Score(const CodecPlan& plan) const;

  double CopyBytesPerSecond() const;

 private:
  CodecEval(const KvCache& cache, const CodecEvalOptions& options)
      : cache_(cache), options_(options) {}
  absl::StatusOr<std::vector<std::vector<std::byte>>> Encode(const CodecPlan& plan,
                                                             CodecScore& score) const;
  absl::StatusOr<KvCache> Decode(const std::vector<std::vector<std::byte>>& frames,
                                 CodecScore& score) const;
  void Compare(const KvCache& decoded, CodecScore& score) const;

  const KvCache& cache_;
  const CodecEvalOptions options_;
  std::vector<KvPiece> pieces_;
  std::vector<std::vector<std::byte>> raw_;  // of each piece
  std::vector<std::vector<float>> queries_;
};

// Identity of a frame that belongs to no space: the hash is the raw bytes' checksum.
FrameIdentity LooseIdentity(std::span<const std::byte> raw, uint64_t token_begin);

}  // namespace larder::cli
