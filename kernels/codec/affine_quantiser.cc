#include "kernels/codec/affine_quantiser.h"

#include <algorithm>
#include <cstring>

#include "kernels/codec/affine_ops.h"
#include "kernels/codec/packing.h"

namespace larder {
namespace {

uint8_t* Bytes8(std::byte* at) { return reinterpret_cast<uint8_t*>(at); }
const uint8_t* Bytes8(const std::byte* at) { return reinterpret_cast<const uint8_t*>(at); }

// Four arrays of `count` floats, of which the last two also serve as fp16.
struct Scratch {
  Scratch(Workspace& workspace, size_t wanted) : count((wanted + 15) / 16 * 16) {
    workspace.scratch.resize(std::max(workspace.scratch.size(), 5 * count));
    lows = workspace.scratch.data();
    highs = lows + count;
    levels = highs + count;
    scales16 = reinterpret_cast<uint16_t*>(levels + count);
    minima16 = scales16 + count;
  }
  AffineSteps steps() const { return {lows, highs, levels}; }

  size_t count;  // a multiple of 16
  float* lows;
  float* highs;
  float* levels;
  uint16_t* scales16;
  uint16_t* minima16;
};

float LevelOf(unsigned bits) { return static_cast<float>((1u << bits) - 1); }

uint64_t TokenGroupBytes(uint32_t tokens, uint32_t dim, unsigned bits) {
  return uint64_t{dim} * 4 + ColumnWords(tokens, bits) * dim * 4;
}

bool EncodeTokenGroup(const QuantiserContext& context, uint32_t tokens,
                      const SourceElements& source, std::byte* out) {
  const uint32_t dim = context.shape.head_dim;
  const unsigned bits = context.params.bits;
  const AffineOps& ops = AffineOpsOf(context.isa, source.type);
  const Scratch scratch(context.workspace, dim);
  std::fill_n(scratch.levels, dim, LevelOf(bits));
  auto* scales = reinterpret_cast<uint16_t*>(out);
  if (!ops.column_ranges(source, tokens, dim, scratch.lows, scratch.highs) ||
      !ops.store_scales(scratch.lows, scratch.highs, scratch.levels, dim, scales, scales + dim)) {
    return false;
  }
  uint8_t* words = Bytes8(out) + size_t{dim} * 4;
  ops.quantise_columns(source, tokens, dim, scratch.steps(), bits, words, nullptr);
  return true;
}

void DecodeTokenGroup(const QuantiserContext& context, uint32_t tokens, const std::byte* in,
                      const TargetElements& target) {
  const uint32_t dim = context.shape.head_dim;
  const Scratch scratch(context.workspace, dim);
  const auto* scales = reinterpret_cast<const uint16_t*>(in);
  const auto widen = VectorOpsOf(context.isa).widen_fp16;
  widen(scales, scratch.highs, dim);
  widen(scales + dim, scratch.lows, dim);
  AffineOpsOf(context.isa, target.type)
      .dequantise_columns(Bytes8(in) + size_t{dim} * 4, nullptr, context.params.bits, tokens, dim,
                          scratch.highs, scratch.lows, target);
}

// The form along channels.
struct AffineRows {
  TileShape shape;
  uint32_t group;
  unsigned bits;
};

AffineRows RowsOf(const CodecParams& params, TileShape shape) {
  return {shape, std::min<uint32_t>(params.group, shape.head_dim), params.bits};
}

uint32_t GroupsOf(const AffineRows& rows) {
  return (rows.shape.head_dim + rows.group - 1) / rows.group;
}

// Calls `code(first token, tokens, offset in the tile's bytes)` for the groups of tokens of a portion.
template <typename Code>
bool ForEachTokenGroup(const CodecParams& params, TileShape shape, uint32_t begin, uint32_t count,
                       Code code) {
  const uint64_t bytes = TokenGroupBytes(params.group, shape.head_dim, params.bits);
  for (uint32_t at = 0; at < count; at += params.group) {
    const uint32_t tokens = std::min<uint32_t>(params.group, count - at);
    if (!code(at, tokens, (begin + at) / params.group * bytes)) return false;
  }
  return true;
}

uint64_t AffineRowsBytes(const AffineRows& rows) {
  return uint64_t{rows.shape.tokens} * GroupsOf(rows) * 4 +
         PackedBytes(rows.shape.elements(), rows.bits);
}

bool EncodeAffineRows(const QuantiserContext& context, const AffineRows& rows, uint32_t begin,
                      uint32_t count, const SourceElements& source, std::byte* out) {
  const size_t dim = rows.shape.head_dim, groups = GroupsOf(rows);
  const AffineOps& ops = AffineOpsOf(context.isa, source.type);
  const Scratch scratch(context.workspace, count * groups);
  const size_t used = count * groups;
  std::fill_n(scratch.levels, scratch.count, LevelOf(rows.bits));
  std::fill(scratch.lows + used, scratch.lows + scratch.count, 0.0f);
  std::fill(scratch.highs + used, scratch.highs + scratch.count, 0.0f);
  if (!ops.row_ranges(source, count, dim, rows.group, scratch.lows, scratch.highs) ||
      !ops.store_scales(scratch.lows, scratch.highs, scratch.levels, scratch.count,
                        scratch.scales16, scratch.minima16)) {
    return false;
  }
  const size_t all = rows.shape.tokens * groups;
  std::memcpy(out + begin * groups * 2, scratch.scales16, used * 2);
  std::memcpy(out + (all + begin * groups) * 2, scratch.minima16, used * 2);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), count * dim));
  ops.quantise_rows(source, count, dim, rows.group, scratch.steps(), codes.data());
  uint8_t* packed = Bytes8(out) + all * 4 + PackedBytes(begin * dim, rows.bits);
  PackingOpsOf(context.isa).pack(codes.data(), rows.bits, packed, count * dim);
  return true;
}

void DecodeAffineRows(const QuantiserContext& context, const AffineRows& rows, uint32_t begin,
                      uint32_t count, const std::byte* in, const TargetElements& target) {
  const size_t dim = rows.shape.head_dim, groups = GroupsOf(rows);
  const Scratch scratch(context.workspace, count * groups);
  const size_t used = count * groups, all = rows.shape.tokens * groups;
  std::memset(scratch.scales16, 0, scratch.count * 4);
  std::memcpy(scratch.scales16, in + begin * groups * 2, used * 2);
  std::memcpy(scratch.minima16, in + (all + begin * groups) * 2, used * 2);
  const auto widen = VectorOpsOf(context.isa).widen_fp16;
  widen(scratch.scales16, scratch.highs, scratch.count);
  widen(scratch.minima16, scratch.lows, scratch.count);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), count * dim));
  const uint8_t* packed = Bytes8(in) + all * 4 + PackedBytes(begin * dim, rows.bits);
  PackingOpsOf(context.isa).unpack(packed, rows.bits, codes.data(), count * dim);
  AffineOpsOf(context.isa, target.type)
      .dequantise_rows(codes.data(), count, dim, rows.group, scratch.highs, scratch.lows, target);
}

}  // namespace

bool AffineQuantiser::Accepts(const CodecParams& params, TileShape shape) const {
  const bool bits = params.bits == 2 || params.bits == 3 || params.bits == 4 || params.bits == 8;
  const uint32_t most = params.variant == kAffineTokens ? kAffineTokensMax : kAffineChannelsMax;
  const bool group = params.group >= 16 && params.group <= most && params.group % 16 == 0;
  if (!bits || !group || params.boosted != 0 || params.variant > kAffineChannels) return false;
  return params.variant == kAffineTokens || params.bits != 3 || shape.head_dim % 32 == 0;
}

uint64_t AffineQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  if (params.variant == kAffineChannels) return AffineRowsBytes(RowsOf(params, shape));
  const uint32_t full = shape.tokens / params.group, rest = shape.tokens % params.group;
  return full * TokenGroupBytes(params.group, shape.head_dim, params.bits) +
         (rest == 0 ? 0 : TokenGroupBytes(rest, shape.head_dim, params.bits));
}

uint32_t AffineQuantiser::RowsTogether(const CodecParams& params, TileShape) const {
  return params.variant == kAffineTokens ? params.group : 1;
}

bool AffineQuantiser::EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                 const SourceElements& source, std::byte* out) const {
  if (context.params.variant == kAffineChannels) {
    return EncodeAffineRows(context, RowsOf(context.params, context.shape), begin, count, source,
                            out);
  }
  const auto encode = [&](uint32_t at, uint32_t tokens, uint64_t offset) {
    return EncodeTokenGroup(context, tokens, {source.type, source.rows + at}, out + offset);
  };
  return ForEachTokenGroup(context.params, context.shape, begin, count, encode);
}

void AffineQuantiser::DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                 const std::byte* in, const TargetElements& target) const {
  if (context.params.variant == kAffineChannels) {
    return DecodeAffineRows(context, RowsOf(context.params, context.shape), begin, count, in,
                            target);
  }
  const auto decode = [&](uint32_t at, uint32_t tokens, uint64_t offset) {
    DecodeTokenGroup(context, tokens, in + offset, {target.type, target.rows + at});
    return true;
  };
  ForEachTokenGroup(context.params, context.shape, begin, count, decode);
}

}  // namespace larder
