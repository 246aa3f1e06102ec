// The SIMD twin of rans_scalar.cc, compiled once per instruction set: a step of all lanes at a time. Words go
// to (and come from) the lanes that want one by a byte shuffle from a table of their masks, 8 lanes at a time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/rans_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <bit>
#include <cstring>

#include "kernels/codec/rans.h"
#include "kernels/codec/rans_internal.h"

#ifndef LARDER_RANS_SHUFFLES
#define LARDER_RANS_SHUFFLES
namespace larder::rans {

// Rows of byte indices; 0x80 gives a zero byte.
struct Shuffles {
  alignas(16) uint8_t spread[256][16];  // the next words, in turn, to the 16-bit lanes of the mask
  alignas(16) uint8_t gather[256][16];  // the words of the mask's lanes, in turn, to the top
};

constexpr Shuffles MakeShuffles() {
  Shuffles shuffles{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    unsigned next = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      const bool set = (mask >> lane & 1) != 0;
      for (unsigned byte = 0; byte < 2; ++byte) {
        shuffles.spread[mask][2 * lane + byte] = static_cast<uint8_t>(set ? 2 * next + byte : 0x80);
        shuffles.gather[mask][2 * lane + byte] = 0x80;
      }
      next += set ? 1 : 0;
    }
    unsigned place = 8 - next;
    for (unsigned lane = 0; lane < 8; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      shuffles.gather[mask][2 * place] = static_cast<uint8_t>(2 * lane);
      shuffles.gather[mask][2 * place + 1] = static_cast<uint8_t>(2 * lane + 1);
      ++place;
    }
  }
  return shuffles;
}

inline constexpr Shuffles kShuffles = MakeShuffles();

}  // namespace larder::rans
#endif

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const RansOps& TargetRansOps() { return RansOpsOf(Isa::kScalar); }

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// The lanes of one step as vectors of at most 16.
template <size_t kLanes>
struct Step {
  using D = hn::CappedTag<uint32_t, kLanes == 8 ? 8 : 16>;
  using V = hn::Vec<D>;
  using M = hn::Mask<D>;
  static constexpr D d{};
  static constexpr hn::RebindToSigned<D> di{};
  static constexpr hn::Rebind<uint16_t, D> d16{};
  static constexpr hn::Rebind<uint8_t, D> d8{};
  static constexpr size_t kN = hn::MaxLanes(D());
  static constexpr size_t kVectors = kLanes / kN;
  static constexpr size_t kGroups = kLanes / 8;
};

constexpr hn::FixedTag<uint8_t, 16> kBytes;
constexpr hn::FixedTag<uint16_t, 8> kWords;
using Words = hn::Vec<decltype(kWords)>;

// Bits of the masks of a step, 8 lanes to a byte.
template <class S>
HWY_INLINE void GroupBits(const typename S::M* masks, uint8_t* bits) {
  for (size_t v = 0; v < S::kVectors; ++v) {
    HWY_ALIGN uint8_t each[8];
    hn::StoreMaskBits(S::d, masks[v], each);
    if constexpr (S::kN == 4) {
      bits[v / 2] = v % 2 == 0 ? each[0] & 15 : static_cast<uint8_t>(bits[v / 2] | each[0] << 4);
    } else {
      for (size_t part = 0; part < S::kN / 8; ++part) bits[v * (S::kN / 8) + part] = each[part];
    }
  }
}

// Vector v of the words that stand in groups of 8.
template <class S>
HWY_INLINE typename S::V Widen(const Words* groups, size_t v) {
  if constexpr (S::kN == 16) {
    return hn::PromoteTo(S::d, hn::Combine(S::d16, groups[2 * v + 1], groups[2 * v]));
  } else if constexpr (S::kN == 8) {
    return hn::PromoteTo(S::d, groups[v]);
  } else {
    return hn::PromoteTo(
        S::d, v % 2 == 0 ? hn::LowerHalf(groups[v / 2]) : hn::UpperHalf(S::d16, groups[v / 2]));
  }
}

// The low halves of the lanes of group g.
template <class S>
HWY_INLINE Words Narrow(const typename S::V* states, size_t g) {
  if constexpr (S::kN == 16) {
    const auto both = hn::TruncateTo(S::d16, states[g / 2]);
    return g % 2 == 0 ? hn::LowerHalf(both) : hn::UpperHalf(kWords, both);
  } else if constexpr (S::kN == 8) {
    return hn::TruncateTo(S::d16, states[g]);
  } else {
    return hn::Combine(kWords, hn::TruncateTo(S::d16, states[2 * g + 1]),
                       hn::TruncateTo(S::d16, states[2 * g]));
  }
}

// Which column of table_of the first lane of a step has.
class Column {
 public:
  explicit Column(const RansTables& tables) : tables_(tables) {}
  void Seek(size_t i) { at_ = tables_.period == 0 ? 0 : i % tables_.period; }
  void Forward(size_t lanes) {
    for (at_ += lanes; at_ >= tables_.period;) at_ -= tables_.period;
  }
  void Back(size_t lanes) {
    while (at_ < lanes) at_ += tables_.period;
    at_ -= lanes;
  }
  const uint32_t* Tables() const { return tables_.table_of + at_; }

 private:
  const RansTables& tables_;
  size_t at_ = 0;
};

// One step: symbols out, states on, words from `at`, of which kLanes + 8 may be read.
template <size_t kLanes, bool kMixed>
HWY_INLINE const std::byte* DecodeStep(const RansTables& tables, const Column& column,
                                       typename Step<kLanes>::V* x, const std::byte* at,
                                       uint8_t* symbols) {
  using S = Step<kLanes>;
  const auto low12 = hn::Set(S::d, kRansScale - 1);
  typename S::M wants[S::kVectors];
  for (size_t v = 0; v < S::kVectors; ++v) {
    auto slot = hn::And(x[v], low12);
    if constexpr (kMixed) {
      const auto table = hn::LoadU(S::d, column.Tables() + v * S::kN);
      slot = hn::Or(slot, hn::ShiftLeft<kRansScaleBits>(table));
    }
    const auto entry = hn::GatherIndex(S::d, tables.slots, hn::BitCast(S::di, slot));
    hn::StoreU(hn::TruncateTo(S::d8, entry), S::d8, symbols + v * S::kN);
    const auto high = hn::ShiftRight<kRansScaleBits>(x[v]);
    const auto less = hn::And(hn::ShiftRight<8>(entry), low12);
    x[v] = hn::Add(hn::Mul(less, high), hn::Add(high, hn::ShiftRight<20>(entry)));
    wants[v] = hn::Eq(hn::ShiftRight<16>(x[v]), hn::Zero(S::d));
  }
  uint8_t bits[S::kGroups];
  GroupBits<S>(wants, bits);
  Words words[S::kGroups];
  for (size_t g = 0; g < S::kGroups; ++g) {
    const auto next = hn::LoadU(kBytes, reinterpret_cast<const uint8_t*>(at));
    const auto order = hn::Load(kBytes, rans::kShuffles.spread[bits[g]]);
    words[g] = hn::BitCast(kWords, hn::TableLookupBytesOr0(next, order));
    at += 2 * std::popcount(bits[g]);
  }
  for (size_t v = 0; v < S::kVectors; ++v) {
    x[v] = hn::IfThenElse(wants[v], hn::Or(hn::ShiftLeft<16>(x[v]), Widen<S>(words, v)), x[v]);
  }
  return at;
}

template <size_t kLanes, bool kMixed>
bool DecodeLanes(const RansTables& tables, std::span<const std::byte> in, uint8_t* symbols,
                 size_t count) {
  using S = Step<kLanes>;
  constexpr size_t kReadBytes = 2 * (kLanes + 8);  // what a step may touch
  HWY_ALIGN uint32_t states[kLanes];
  if (!rans::ReadStates(in, kLanes, states)) return false;
  typename S::V x[S::kVectors];
  for (size_t v = 0; v < S::kVectors; ++v) x[v] = hn::Load(S::d, states + v * S::kN);
  const std::byte* at = in.data() + 4 * kLanes;
  const std::byte* end = in.data() + in.size();
  std::byte last[2 * kReadBytes] = {};  // the last words, with room to read on
  bool in_last = false;
  Column column(tables);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto left = static_cast<size_t>(end - at);
    if (left < kReadBytes && !in_last) {
      if (left > 0) std::memcpy(last, at, left);
      at = last;
      end = last + left;
      in_last = true;
    }
    at = DecodeStep<kLanes, kMixed>(tables, column, x, at, symbols + i);
    if (at > end) return false;
    if constexpr (kMixed) column.Forward(kLanes);
  }
  for (size_t v = 0; v < S::kVectors; ++v) hn::Store(x[v], S::d, states + v * S::kN);
  for (; i < count; ++i) {
    if (!rans::DecodeSymbol(tables, i, symbols[i], states[i % kLanes], at, end)) return false;
  }
  return at == end && rans::AllAtRest(states, kLanes);
}

bool Decode(const RansTables& tables, std::span<const std::byte> in, uint8_t* symbols,
            size_t count) {
  const bool mixed = tables.table_of != nullptr;
  if (RansLanes(count) == 8) {
    return (mixed ? DecodeLanes<8, true> : DecodeLanes<8, false>)(tables, in, symbols, count);
  }
  return (mixed ? DecodeLanes<32, true> : DecodeLanes<32, false>)(tables, in, symbols, count);
}

// left >= right, both below 2^31: signed comparisons are the cheap ones.
template <class S>
HWY_INLINE typename S::M NotLess(typename S::V left, typename S::V right) {
  return hn::Not(hn::RebindMask(S::d, hn::Lt(hn::BitCast(S::di, left), hn::BitCast(S::di, right))));
}

// High 32 bits of the products.
template <class D, class V>
HWY_INLINE V MulHigh32(D d, V left, V right) {
  const auto even = hn::BitCast(d, hn::MulEven(left, right));
  const auto odd = hn::BitCast(d, hn::MulEven(hn::Shuffle2301(left), hn::Shuffle2301(right)));
  return hn::OddEven(odd, hn::Shuffle2301(even));
}

// Words by symbol: kVectors vectors of them in registers, looked up by the low bits of the symbol and chosen by the
// high ones; 0: gathered from memory.
template <class S, size_t kVectors>
class Words32 {
 public:
  HWY_INLINE Words32(const uint32_t* words, size_t count) : words_(words) {
    if constexpr (kVectors > 0) {
      HWY_ALIGN uint32_t padded[kVectors * S::kN] = {};
      std::memcpy(padded, words, count * sizeof(uint32_t));
      for (size_t v = 0; v < kVectors; ++v) held_[v] = hn::Load(S::d, padded + v * S::kN);
    }
  }
  HWY_INLINE typename S::V operator()(typename S::V index) const {
    if constexpr (kVectors == 0) {
      return hn::GatherIndex(S::d, words_, hn::BitCast(S::di, index));
    } else {
      const auto low = hn::And(index, hn::Set(S::d, static_cast<uint32_t>(S::kN - 1)));
      const auto within = hn::IndicesFromVec(S::d, low);
      auto found = hn::TableLookupLanes(held_[0], within);
      for (size_t v = 1; v < kVectors; ++v) {
        const auto first = hn::Set(S::d, static_cast<uint32_t>(v * S::kN));
        found =
            hn::IfThenElse(NotLess<S>(index, first), hn::TableLookupLanes(held_[v], within), found);
      }
      return found;
    }
  }

 private:
  const uint32_t* words_;
  typename S::V held_[kVectors > 0 ? kVectors : 1];
};

template <class S, size_t kVectors>
struct EncoderTables {
  explicit EncoderTables(const RansTables& tables)
      : ranges(tables.ranges, tables.alphabet), reciprocals(tables.reciprocals, tables.alphabet) {}
  Words32<S, kVectors> ranges;
  Words32<S, kVectors> reciprocals;
};

// One step backwards: words end at `at`; up to 16 bytes before them are overwritten.
template <class S, size_t kVectors>
HWY_INLINE std::byte* EncodeStep(const EncoderTables<S, kVectors>& tables,
                                 const typename S::V* entries, typename S::V* x, std::byte* at) {
  typename S::V ranges[S::kVectors];
  typename S::M full[S::kVectors];
  for (size_t v = 0; v < S::kVectors; ++v) {
    ranges[v] = tables.ranges(entries[v]);
    const auto frequency = hn::ShiftRight<kRansScaleBits>(ranges[v]);
    full[v] = NotLess<S>(hn::ShiftRight<32 - kRansScaleBits>(x[v]), frequency);
  }
  uint8_t bits[S::kGroups];
  GroupBits<S>(full, bits);
  for (size_t g = S::kGroups; g-- > 0;) {
    const auto order = hn::Load(kBytes, rans::kShuffles.gather[bits[g]]);
    const auto words = hn::TableLookupBytesOr0(hn::BitCast(kBytes, Narrow<S>(x, g)), order);
    hn::StoreU(words, kBytes, reinterpret_cast<uint8_t*>(at - 16));
    at -= 2 * std::popcount(bits[g]);
  }
  for (size_t v = 0; v < S::kVectors; ++v) {
    const auto state = hn::IfThenElse(full[v], hn::ShiftRight<16>(x[v]), x[v]);
    const auto frequency = hn::ShiftRight<kRansScaleBits>(ranges[v]);
    const auto start = hn::And(ranges[v], hn::Set(S::d, kRansScale - 1));
    auto quotient = MulHigh32(S::d, state, tables.reciprocals(entries[v]));
    const auto rest = hn::Sub(state, hn::Mul(quotient, frequency));  // below twice the frequency
    const auto one = hn::IfThenElseZero(NotLess<S>(rest, frequency), hn::Set(S::d, 1u));
    quotient = hn::Add(quotient, one);
    const auto gap = hn::Sub(hn::Set(S::d, kRansScale), frequency);
    x[v] = hn::Add(hn::Add(state, start), hn::Mul(quotient, gap));
  }
  return at;
}

template <size_t kLanes, bool kMixed, size_t kVectors>
size_t EncodeLanes(const RansTables& tables, const uint8_t* symbols, size_t count, std::byte* out) {
  using S = Step<kLanes>;
  HWY_ALIGN uint32_t states[kLanes];
  for (uint32_t& state : states) state = kRansLow;
  std::byte* at = out + RansBytesMax(count);
  size_t i = count;
  for (; i % kLanes != 0; --i) {
    rans::EncodeSymbol(tables, i - 1, symbols[i - 1], states[(i - 1) % kLanes], at);
  }
  typename S::V x[S::kVectors], entries[S::kVectors];
  for (size_t v = 0; v < S::kVectors; ++v) x[v] = hn::Load(S::d, states + v * S::kN);
  const EncoderTables<S, kVectors> words(tables);
  Column column(tables);
  if constexpr (kMixed) column.Seek(i);
  for (; i > 0; i -= kLanes) {
    if constexpr (kMixed) column.Back(kLanes);
    for (size_t v = 0; v < S::kVectors; ++v) {
      entries[v] = hn::PromoteTo(S::d, hn::LoadU(S::d8, symbols + i - kLanes + v * S::kN));
      if constexpr (kMixed) {
        const auto table = hn::LoadU(S::d, column.Tables() + v * S::kN);
        entries[v] = hn::Add(entries[v], hn::Mul(table, hn::Set(S::d, tables.alphabet)));
      }
    }
    at = EncodeStep<S, kVectors>(words, entries, x, at);
  }
  for (size_t v = 0; v < S::kVectors; ++v) hn::Store(x[v], S::d, states + v * S::kN);
  return rans::Finish(states, count, at, out);
}

template <size_t kLanes>
size_t EncodeBy(const RansTables& tables, const uint8_t* symbols, size_t count, std::byte* out) {
  if (tables.table_of != nullptr) {
    return EncodeLanes<kLanes, true, 0>(tables, symbols, count, out);
  }
  constexpr size_t kN = Step<kLanes>::kN;
  if (kN >= 8 && tables.alphabet <= kN) {
    return EncodeLanes<kLanes, false, 1>(tables, symbols, count, out);
  }
  if (kN >= 8 && tables.alphabet <= 2 * kN) {
    return EncodeLanes<kLanes, false, 2>(tables, symbols, count, out);
  }
  if (kN >= 8 && tables.alphabet <= 4 * kN) {
    return EncodeLanes<kLanes, false, 4>(tables, symbols, count, out);
  }
  return EncodeLanes<kLanes, false, 0>(tables, symbols, count, out);
}

size_t Encode(const RansTables& tables, const uint8_t* symbols, size_t count, std::byte* out) {
  return (RansLanes(count) == 8 ? EncodeBy<8> : EncodeBy<32>)(tables, symbols, count, out);
}

}  // namespace

const RansOps& TargetRansOps() {
  static constexpr RansOps kOps = {.encode = Encode, .decode = Decode};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetRansOps);

const RansOps& SimdRansOps() { return HWY_DYNAMIC_DISPATCH(TargetRansOps)(); }

}  // namespace larder
#endif
