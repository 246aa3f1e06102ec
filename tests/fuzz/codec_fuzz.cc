// Descriptors and encoded tiles are untrusted input. Two ways in, over every codec of the registry: the input as parameters
// and an encoded tile, and the input as values that are encoded, damaged and decoded. Parameters are those of a known
// format with some bytes changed, or all bytes of the input, so that the checks behind the first are reached.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "kernels/codec/registry.h"
#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

void Require(bool condition) {
  if (!condition) __builtin_trap();
}

std::vector<StreamCodec> CodedFormats() {
  std::vector<StreamCodec> codecs;
  for (const FormatRow& row : Formats()) {
    if (row.key.id == CodecId::kRaw) continue;
    codecs.push_back(row.key);
    if (!(row.value == row.key)) codecs.push_back(row.value);
  }
  return codecs;
}

// A codec that ReadDescriptor takes.
std::optional<StreamCodec> CodecOf(FuzzedDataProvider& script) {
  static const std::vector<StreamCodec> formats = CodedFormats();
  StreamCodec codec = formats[script.ConsumeIntegralInRange<size_t>(0, formats.size() - 1)];
  uint8_t bytes[sizeof(CodecParams)];
  std::memcpy(bytes, &codec.params, sizeof(bytes));
  const unsigned changes = script.ConsumeIntegralInRange<unsigned>(0, 4);
  if (changes == 4) {
    script.ConsumeData(bytes, sizeof(bytes));
  } else {
    for (unsigned i = 0; i < changes; ++i) {
      bytes[script.ConsumeIntegralInRange<size_t>(0, sizeof(bytes) - 1)] =
          script.ConsumeIntegral<uint8_t>();
    }
  }
  std::memcpy(&codec.params, bytes, sizeof(bytes));
  if (script.ConsumeBool()) {
    codec.params.transform |= kTransformUnrope;
    codec.params.rope_pairing = script.ConsumeIntegralInRange<uint8_t>(1, 2);
    codec.params.rope_rotary_dim = 16;
    codec.params.rope_theta = 1e4;
  }
  return ReadDescriptor(DescriptorOf(codec));
}

struct Fixture {
  StreamCodec codec;
  TileShape shape;
  Dtype dtype;
  const TileCodec& tile_codec() const { return *FindTileCodec(codec.id); }
};

// nullopt: refused, as the values or the bytes may be.
std::optional<std::vector<std::byte>> Encode(const Fixture& fixture, const RopeTable* rope, Isa isa,
                                             const std::vector<uint16_t>& values) {
  TileContext context{fixture.codec.params, fixture.dtype};
  context.rope = rope;
  context.isa = isa;
  SourceRows source;
  source.base = reinterpret_cast<const std::byte*>(values.data());
  source.token_stride = ptrdiff_t{fixture.shape.head_dim} * 2;
  Workspace workspace;
  std::vector<std::byte> out(fixture.tile_codec().BytesMax(fixture.codec.params, fixture.shape));
  const auto bytes =
      fixture.tile_codec().Encode(context, fixture.shape, source, workspace, out.data());
  if (!bytes) return std::nullopt;
  Require(*bytes <= out.size());
  out.resize(*bytes);
  return out;
}

bool Decode(const Fixture& fixture, const RopeTable* rope, Isa isa, std::span<const std::byte> in,
            std::vector<uint16_t>& values) {
  TileContext context{fixture.codec.params, fixture.dtype};
  context.rope = rope;
  context.isa = isa;
  TargetRows target;
  target.base = reinterpret_cast<std::byte*>(values.data());
  target.token_stride = ptrdiff_t{fixture.shape.head_dim} * 2;
  Workspace workspace;
  const std::vector<std::byte> exact(in.begin(), in.end());  // ASan sees a read past the end
  return fixture.tile_codec().Decode(context, fixture.shape, exact, workspace, target);
}

// Both forms give the same verdict on any bytes.
bool DecodeByBoth(const Fixture& fixture, const RopeTable* rope, std::span<const std::byte> in,
                  std::vector<uint16_t>& values) {
  std::vector<uint16_t> by_scalar(values.size());
  const bool scalar = Decode(fixture, rope, Isa::kScalar, in, by_scalar);
  Require(Decode(fixture, rope, Isa::kSimd, in, values) == scalar);
  return scalar;
}

void Run(FuzzedDataProvider& script) {
  const auto codec = CodecOf(script);
  if (!codec) return;
  Fixture fixture{*codec,
                  {script.ConsumeIntegralInRange<uint32_t>(1, 40),
                   16 * script.ConsumeIntegralInRange<uint32_t>(1, 8)},
                  script.ConsumeBool() ? Dtype::kBf16 : Dtype::kFp16};
  if (!fixture.tile_codec().Accepts(codec->params, fixture.shape)) return;
  const size_t elements = fixture.shape.elements();
  Require(fixture.tile_codec().BytesMax(codec->params, fixture.shape) <= elements * 8 + 4096);
  std::unique_ptr<RopeTable> rope;
  if ((codec->params.transform & kTransformUnrope) != 0) {
    rope = std::make_unique<RopeTable>(codec->params, 0, fixture.shape.tokens);
  }
  std::vector<uint16_t> values(elements);
  const bool from_values = script.ConsumeBool();
  const auto seed = script.ConsumeIntegral<uint16_t>();
  const std::vector<uint8_t> rest = script.ConsumeRemainingBytes<uint8_t>();
  if (!from_values) {
    static_cast<void>(DecodeByBoth(fixture, rope.get(), std::as_bytes(std::span(rest)), values));
    return;
  }
  std::mt19937_64 random(seed);  // behind the input's own values
  for (size_t i = 0; i < elements; ++i) {
    values[i] = static_cast<uint16_t>(0x3800 + random() % 0x0A00);
    if (2 * i + 1 < rest.size()) std::memcpy(&values[i], &rest[2 * i], 2);
  }
  auto coded = Encode(fixture, rope.get(), Isa::kScalar, values);
  Require(coded == Encode(fixture, rope.get(), Isa::kSimd, values));
  if (!coded) return;
  std::vector<uint16_t> back(elements);
  Require(DecodeByBoth(fixture, rope.get(), *coded, back));
  if (FidelityOf(*codec) == Fidelity::kExact) Require(back == values);
  for (int damage = 0; damage < 8 && !coded->empty(); ++damage) {
    (*coded)[random() % coded->size()] ^= static_cast<std::byte>(1 + random() % 255);
    if (damage % 4 == 3) coded->resize(random() % coded->size());
    static_cast<void>(DecodeByBoth(fixture, rope.get(), *coded, back));
  }
}

}  // namespace
}  // namespace larder

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider script(data, size);
  larder::Run(script);
  return 0;
}
