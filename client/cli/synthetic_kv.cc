#include "client/cli/synthetic_kv.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "client/cli/random.h"
#include "client/cli/synthetic_rows.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

constexpr uint64_t kValueBytes = 2;           // bf16
constexpr uint64_t kVerifyPieceBytes = 4096;  // compared before an early exit

// [head][position][head_dim] -> planes of [row][width], with the first rows after the sink repeated
// at the end, so that a block's rows are contiguous wherever it starts.
std::vector<uint16_t> Arrange(const std::vector<uint16_t>& rows, uint32_t heads, uint32_t head_dim,
                              uint32_t rows_out, bool heads_are_planes) {
  const uint32_t positions = 1 + SyntheticKv::kBankPositions;
  std::vector<uint16_t> bank(size_t{heads} * head_dim * rows_out);
  for (uint32_t h = 0; h < heads; ++h) {
    for (uint32_t r = 0; r < rows_out; ++r) {
      const uint32_t position = r == 0 ? 0 : 1 + (r - 1) % SyntheticKv::kBankPositions;
      const size_t from = (size_t{h} * positions + position) * head_dim;
      const size_t to = heads_are_planes ? (size_t{h} * rows_out + r) * head_dim
                                         : (size_t{r} * heads + h) * head_dim;
      std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(from), head_dim,
                  bank.begin() + static_cast<std::ptrdiff_t>(to));
    }
  }
  return bank;
}

// Exclusive-or of up to 64 bytes; a call with a constant size becomes a few vector instructions.
inline void MaskChunk(const std::byte* source, const SyntheticKv::Pattern& pattern, size_t bytes,
                      std::byte* out) {
  SyntheticKv::Pattern chunk{};
  std::memcpy(chunk.data(), source, bytes);
  for (size_t i = 0; i < chunk.size(); ++i) chunk[i] ^= pattern[i];
  std::memcpy(out, chunk.data(), bytes);
}

void MaskInto(std::span<const std::byte> source, const SyntheticKv::Pattern& pattern,
              std::byte* out) {
  constexpr size_t kChunkBytes = sizeof(SyntheticKv::Pattern);
  size_t at = 0;
  for (; at + kChunkBytes <= source.size(); at += kChunkBytes) {
    MaskChunk(source.data() + at, pattern, kChunkBytes, out + at);
  }
  if (at < source.size()) MaskChunk(source.data() + at, pattern, source.size() - at, out + at);
}

}  // namespace

absl::StatusOr<SyntheticKv> SyntheticKv::Create(const KvShape& shape, const Rope& rope,
                                                uint64_t seed) {
  if (shape.kind != GroupKind::kAttention && shape.kind != GroupKind::kLatent) {
    return InvalidField("group.kind", std::to_string(static_cast<int>(shape.kind)),
                        "attention or latent: synthetic KV is made for these");
  }
  if (shape.dtype != Dtype::kBf16) {
    return InvalidField("dtype", std::to_string(static_cast<int>(shape.dtype)),
                        "bf16: synthetic KV is made in it");
  }
  const std::optional<uint64_t> bytes = RawBytes(shape);
  if (!bytes) return InvalidField("shape", "a block without bytes", "every dimension above zero");

  SyntheticKv kv;
  kv.seed_ = seed;
  kv.tokens_ = shape.tokens;
  kv.rows_ = 1 + kBankPositions + shape.tokens;
  kv.block_bytes_ = *bytes;
  std::map<std::pair<uint32_t, StreamKind>, size_t> bank_of;
  for (const RawStream& raw : RawStreams(shape)) {
    const bool first_kind = raw.kind == StreamKind::kKey || raw.kind == StreamKind::kLatent;
    const uint32_t head_dim = first_kind ? shape.head_dim_k : shape.head_dim_v;
    const bool planes = shape.axis_order == AxisOrder::kHnd;
    const auto [bank, added] =
        bank_of.try_emplace({raw.layer % kBankLayers, raw.kind}, kv.banks_.size());
    if (added) {
      const RowOptions options{.kind = raw.kind,
                               .heads = shape.kv_heads,
                               .head_dim = head_dim,
                               .positions = 1 + kBankPositions,
                               .seed = Mix64(seed + Mix64(bank->second + 1))};
      kv.banks_.push_back(
          Arrange(MakeRows(options, rope), shape.kv_heads, head_dim, kv.rows_, planes));
    }
    kv.streams_.push_back({.offset = raw.offset,
                           .bank = bank->second,
                           .planes = planes ? shape.kv_heads : 1,
                           .width = planes ? head_dim : head_dim * shape.kv_heads});
  }
  return kv;
}

uint64_t SyntheticKv::MemoryBytes() const {
  uint64_t bytes = 0;
  for (const auto& bank : banks_) bytes += bank.size() * kValueBytes;
  return bytes;
}

SyntheticKv::Pattern SyntheticKv::PatternOf(uint64_t block_id, uint64_t stream) const {
  const uint64_t mixed = Mix64(block_id ^ Mix64(seed_ + stream + 1));
  Pattern pattern;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const uint64_t byte = (mixed >> (8 * i)) & 0xFF;
    pattern[i] = (byte & 3) | (byte >> 2 & 3) << 16 | (byte >> 4 & 3) << 32 | (byte >> 6) << 48;
  }
  return pattern;
}

uint32_t SyntheticKv::RowOf(uint64_t token_begin) {
  return token_begin == 0 ? 0 : static_cast<uint32_t>(1 + (token_begin - 1) % kBankPositions);
}

template <typename Visit>
bool SyntheticKv::ForEachPiece(uint64_t block_id, uint64_t token_begin, Visit visit) const {
  const size_t row = RowOf(token_begin);
  for (size_t s = 0; s < streams_.size(); ++s) {
    const Stream& stream = streams_[s];
    const Pattern pattern = PatternOf(block_id, s);
    const uint64_t values = uint64_t{tokens_} * stream.width;
    for (uint32_t plane = 0; plane < stream.planes; ++plane) {
      const uint16_t* source =
          banks_[stream.bank].data() + (size_t{plane} * rows_ + row) * stream.width;
      const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(source),
                                             values * kValueBytes);
      if (!visit(stream.offset + plane * bytes.size(), bytes, pattern)) return false;
    }
  }
  return true;
}

void SyntheticKv::Fill(uint64_t block_id, uint64_t token_begin, std::span<std::byte> raw) const {
  ForEachPiece(block_id, token_begin,
               [&](uint64_t offset, std::span<const std::byte> source, const Pattern& pattern) {
                 MaskInto(source, pattern, raw.data() + offset);
                 return true;
               });
}

bool SyntheticKv::Verify(uint64_t block_id, uint64_t token_begin,
                         std::span<const std::byte> raw) const {
  if (raw.size() != block_bytes_) return false;
  std::array<std::byte, kVerifyPieceBytes> expected;  // stays in the first-level cache
  const auto equal = [&](uint64_t offset, std::span<const std::byte> source,
                         const Pattern& pattern) {
    for (uint64_t at = 0; at < source.size(); at += expected.size()) {
      const auto piece = source.subspan(at, std::min(expected.size(), source.size() - at));
      MaskInto(piece, pattern, expected.data());
      if (std::memcmp(expected.data(), raw.data() + offset + at, piece.size()) != 0) return false;
    }
    return true;
  };
  return ForEachPiece(block_id, token_begin, equal);
}

}  // namespace larder::cli
