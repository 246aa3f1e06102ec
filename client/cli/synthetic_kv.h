// Synthetic KV: bytes with the statistics of real KV, different for every block,
// checkable, and cheap to make.
//
// Statistics, per (layer, head): channel scales log-normal, a mean per channel, kOutlierChannels
// key channels with a mean of 8-16 scales in the low-frequency RoPE pairs, heavy-tailed token norms
// (multivariate Student t, 5 degrees of freedom), RoPE applied to keys at each token's position,
// and a sink at position 0 (a large key along the mean, a value of norm 0.05).
//
// Method. Rows of kBankPositions token positions are made once. A block copies the rows of its
// positions (positions beyond repeat with that period) and exclusive-ors a 64-byte pattern into the
// two low mantissa bits. The pattern is a bijection of the block id for each stream, so every 64
// bytes carry the whole id: blocks, layers or pieces that were swapped do not verify. Layers beyond
// kBankLayers reuse earlier rows.
//
// Shape    attention or latent, bf16, NHD or HND, full blocks; raw order of kv_layout.h.
// Cost     about that of a memcpy from cache or memory; Create() takes 20 ns per bank value.
// Memory: MemoryBytes(). Deterministic in (shape, rope, seed, block id, token_begin) for one libm.
// Immutable after Create(), so thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/format/kv_layout.h"
#include "proto/contract/manifest.h"

namespace larder::cli {

class SyntheticKv {
 public:
  static constexpr uint32_t kBankPositions = 1024;
  static constexpr uint32_t kBankLayers = 4;
  static constexpr uint32_t kOutlierChannels = 4;
  // 64 bytes of mask over the low two bits of each bf16.
  using Pattern = std::array<uint64_t, 8>;

  // Part of a manifest's weights digest: bytes of another version never share a space. Change it
  // with the bytes.
  static constexpr char kVersion[] = "larder-synthetic-kv-1";

  // INVALID_ARGUMENT for another kind or dtype, or a shape without bytes.
  static absl::StatusOr<SyntheticKv> Create(const KvShape& shape, const Rope& rope, uint64_t seed);

  uint64_t block_bytes() const { return block_bytes_; }
  uint64_t MemoryBytes() const;

  // The block of this id whose first token stands at position token_begin. `raw` has block_bytes()
  // bytes.
  void Fill(uint64_t block_id, uint64_t token_begin, std::span<std::byte> raw) const;

  // Whether `raw` is exactly what Fill() writes; stops at the first 4 KiB that differ.
  bool Verify(uint64_t block_id, uint64_t token_begin, std::span<const std::byte> raw) const;

 private:
  // One stream of the raw block and the rows it is made of: `planes` pieces of tokens * width
  // values (NHD: one plane with all heads; HND: a plane per head).
  struct Stream {
    uint64_t offset = 0;
    size_t bank = 0;
    uint32_t planes = 0;
    uint32_t width = 0;
  };

  SyntheticKv() = default;

  Pattern PatternOf(uint64_t block_id, uint64_t stream) const;
  static uint32_t RowOf(uint64_t token_begin);
  // Calls visit(offset in the raw block, source values, pattern) for every piece, until it returns
  // false.
  template <typename Visit>
  bool ForEachPiece(uint64_t block_id, uint64_t token_begin, Visit visit) const;

  uint64_t seed_ = 0;
  uint32_t tokens_ = 0;
  uint32_t rows_ = 0;  // of each plane of a bank
  uint64_t block_bytes_ = 0;
  std::vector<Stream> streams_;
  std::vector<std::vector<uint16_t>> banks_;  // [plane][row][width]
};

}  // namespace larder::cli
