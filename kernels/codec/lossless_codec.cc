#include "kernels/codec/lossless_codec.h"

#include <algorithm>
#include <cstring>

#include "kernels/codec/lossless_table.h"
#include "kernels/codec/packing.h"
#include "kernels/codec/rans.h"
#include "kernels/codec/row_quantiser.h"
#include "kernels/codec/symbol_ops.h"

namespace larder {
namespace {

// Bytes and codes of a tile besides the exponents.
struct Planes {
  bool bf16;
  size_t elements;
  size_t high_codes;  // of fp16: a multiple of 32
  size_t bytes;       // of all planes in the encoded tile
};

Planes PlanesOf(const TileContext& context, TileShape shape) {
  Planes planes{context.dtype == Dtype::kBf16, shape.elements(), 0, shape.elements()};
  if (!planes.bf16) {
    planes.high_codes = (planes.elements + 31) / 32 * 32;
    planes.bytes += PackedBytes(planes.high_codes, 3);
  }
  return planes;
}

// Calls each(row or rows, first element, elements) for all elements of the tile.
template <typename Byte, typename Each>
void ForRuns(TileShape shape, const TileRows<Byte>& rows, Each each) {
  const size_t dim = shape.head_dim;
  if (rows.pages == nullptr && rows.token_stride == static_cast<ptrdiff_t>(dim * 2)) {
    each(rows.Row(0), 0, dim * shape.tokens);
    return;
  }
  for (uint32_t token = 0; token < shape.tokens; ++token) each(rows.Row(token), token * dim, dim);
}

void CountSymbols(const uint8_t* symbols, size_t count, uint64_t* counts) {
  uint32_t each[4][kExponentsMax] = {};  // four, as equal neighbours would wait for each other
  for (size_t i = 0; i < count; i += 4) {
    for (size_t k = 0; k < 4; ++k) ++each[k][symbols[i + k]];
  }
  for (size_t symbol = 0; symbol < kExponentsMax; ++symbol) {
    counts[symbol] =
        uint64_t{each[0][symbol]} + each[1][symbol] + each[2][symbol] + each[3][symbol];
  }
}

std::span<const uint32_t> FrequenciesOf(const ExponentTable& table) {
  return {table.frequencies, table.size};
}

}  // namespace

bool LosslessCodec::Accepts(const CodecParams& params, TileShape shape) const {
  return params.transform == 0 && params.variant == 0 && params.bits == 0 && params.group == 0 &&
         params.boosted == 0 && AcceptsTransform(params, shape);
}

std::optional<uint64_t> LosslessCodec::Encode(const TileContext& context, TileShape shape,
                                              const SourceRows& source, Workspace& workspace,
                                              std::byte* out) const {
  const SymbolOps& ops = SymbolOpsOf(context.isa);
  const Planes planes = PlanesOf(context, shape);
  workspace.codes.resize(std::max(workspace.codes.size(), planes.elements + planes.high_codes));
  uint8_t* exponents = workspace.codes.data();
  uint8_t* high = exponents + planes.elements;
  auto* low = reinterpret_cast<uint8_t*>(out);
  ForRuns(shape, source, [&](const std::byte* row, size_t begin, size_t count) {
    const auto* values = reinterpret_cast<const uint16_t*>(row);
    if (planes.bf16) {
      ops.split_bf16(values, exponents + begin, low + begin, count);
    } else {
      ops.split_fp16(values, exponents + begin, low + begin, high + begin, count);
    }
  });
  if (!planes.bf16) {
    std::fill(high + planes.elements, high + planes.high_codes, uint8_t{0});
    PackingOpsOf(context.isa).pack(high, 3, low + planes.elements, planes.high_codes);
  }
  uint64_t counts[kExponentsMax];
  CountSymbols(exponents, planes.elements, counts);
  ExponentTable table;
  MakeExponentTable(counts, table);
  uint8_t table_bytes[kExponentTableBytesMax];
  const size_t table_size = WriteExponentTable(table, table_bytes);
  uint32_t ranges[kExponentsMax], reciprocals[kExponentsMax];
  FillRansRanges(FrequenciesOf(table), ranges, reciprocals);
  const auto first = static_cast<uint8_t>(table.first);
  // A small alphabet, counted from its first symbol, stays in registers.
  for (size_t i = 0; i < planes.elements; ++i) exponents[i] -= first;
  // The stream may turn out too long for `out`.
  workspace.words.resize(
      std::max(workspace.words.size(), RansBytesMax(planes.elements) / sizeof(uint32_t) + 1));
  auto* stream = reinterpret_cast<std::byte*>(workspace.words.data());
  const RansTables tables{.ranges = ranges, .reciprocals = reciprocals, .alphabet = table.size};
  const size_t stream_size =
      RansOpsOf(context.isa).encode(tables, exponents, planes.elements, stream);
  const uint64_t bytes = planes.bytes + table_size + stream_size;
  if (bytes >= planes.elements * 2) {
    ForRuns(shape, source, [&](const std::byte* row, size_t begin, size_t count) {
      std::memcpy(out + begin * 2, row, count * 2);
    });
    return planes.elements * 2;
  }
  std::memcpy(out + planes.bytes, table_bytes, table_size);
  std::memcpy(out + planes.bytes + table_size, stream, stream_size);
  return bytes;
}

bool LosslessCodec::Decode(const TileContext& context, TileShape shape,
                           std::span<const std::byte> in, Workspace& workspace,
                           const TargetRows& target) const {
  const Planes planes = PlanesOf(context, shape);
  if (in.size() == planes.elements * 2) {
    ForRuns(shape, target, [&](std::byte* row, size_t begin, size_t count) {
      std::memcpy(row, in.data() + begin * 2, count * 2);
    });
    return true;
  }
  if (in.size() > planes.elements * 2 || in.size() < planes.bytes) return false;
  const auto* low = reinterpret_cast<const uint8_t*>(in.data());
  const size_t rest = in.size() - planes.bytes;
  ExponentTable table;
  const size_t table_size =
      ReadExponentTable(low + planes.bytes, rest, planes.bf16 ? 256 : 32, table);
  if (table_size == 0) return false;
  workspace.words.resize(std::max<size_t>(workspace.words.size(), kRansScale));
  FillRansSlots(FrequenciesOf(table), static_cast<uint8_t>(table.first), workspace.words.data());
  workspace.codes.resize(std::max(workspace.codes.size(), planes.elements + planes.high_codes));
  uint8_t* exponents = workspace.codes.data();
  uint8_t* high = exponents + planes.elements;
  const RansTables tables{.slots = workspace.words.data()};
  if (!RansOpsOf(context.isa)
           .decode(tables, in.subspan(planes.bytes + table_size), exponents, planes.elements)) {
    return false;
  }
  if (!planes.bf16) {
    PackingOpsOf(context.isa).unpack(low + planes.elements, 3, high, planes.high_codes);
  }
  const SymbolOps& ops = SymbolOpsOf(context.isa);
  ForRuns(shape, target, [&](std::byte* row, size_t begin, size_t count) {
    auto* values = reinterpret_cast<uint16_t*>(row);
    if (planes.bf16) {
      ops.merge_bf16(exponents + begin, low + begin, values, count);
    } else {
      ops.merge_fp16(exponents + begin, low + begin, high + begin, values, count);
    }
  });
  return true;
}

}  // namespace larder
