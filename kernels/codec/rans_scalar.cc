// The oracle of rans_simd.cc.
#include "kernels/codec/rans.h"
#include "kernels/codec/rans_internal.h"

namespace larder {
namespace {

size_t Encode(const RansTables& tables, const uint8_t* symbols, size_t count, std::byte* out) {
  const size_t lanes = RansLanes(count);
  uint32_t states[kRansLanesMax];
  for (uint32_t& state : states) state = kRansLow;
  std::byte* at = out + RansBytesMax(count);
  for (size_t i = count; i-- > 0;) {
    rans::EncodeSymbol(tables, i, symbols[i], states[i % lanes], at);
  }
  return rans::Finish(states, count, at, out);
}

bool Decode(const RansTables& tables, std::span<const std::byte> in, uint8_t* symbols,
            size_t count) {
  const size_t lanes = RansLanes(count);
  uint32_t states[kRansLanesMax];
  if (!rans::ReadStates(in, lanes, states)) return false;
  const std::byte* at = in.data() + 4 * lanes;
  const std::byte* end = in.data() + in.size();
  for (size_t i = 0; i < count; ++i) {
    if (!rans::DecodeSymbol(tables, i, symbols[i], states[i % lanes], at, end)) return false;
  }
  return at == end && rans::AllAtRest(states, lanes);
}

constexpr RansOps kScalarOps = {.encode = Encode, .decode = Decode};

}  // namespace

const RansOps& RansOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdRansOps(); }

}  // namespace larder
