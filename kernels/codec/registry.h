// Every codec of this build, by number and by name, and the plans that users choose from.
//
// A plan says how a block's keys and values are stored. Names:
//   plan       = preset | stream [ "/" stream ]           keys "/" values; one name serves both
//   stream     = format { "+" modifier }                  e.g. q4_0+centre+rotate/q4_0
//   modifier   = "centre" | "unrope" | "rotate" | "haar"  centre turns keys back to position 0 first,
//                                                         unrope does only that, to keys
//   format     = a row of Formats() | "int" bits "_" ( "tokens" | "channels" ) "_g" group
// The last are kAffine's codes of 2, 3, 4 or 8 bits in groups of 16 to 256, a multiple of 16, along the named axis.
// Presets are the rows of Presets(); README has both as a page.
// Immutable tables: thread-safe.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/codec/codec_params.h"
#include "kernels/codec/tile_codec.h"
#include "kernels/format/frame.h"

namespace larder {

// What one stream is stored with: the content of a CodecDescriptor.
struct StreamCodec {
  CodecId id = CodecId::kRaw;
  CodecParams params;
  friend bool operator==(const StreamCodec&, const StreamCodec&) = default;
};

// Of signs and random matrices; a constant, as blocks must be shared. "larder" in ASCII.
inline constexpr uint64_t kCodecSeed = 0x6C6172646572;

struct CodecPlan {
  std::string name;
  StreamCodec key;    // keys of attention
  StreamCodec value;  // values of attention, latents of MLA
};

// A named way to store one kind of stream.
struct FormatRow {
  std::string_view name;
  StreamCodec key;
  StreamCodec value;
  std::string_view bits;   // bits per element, all metadata counted, as a formula of T tokens and D
  std::string_view error;  // declared bound or measured error
  std::string_view source;
};

struct PresetRow {
  std::string_view name;
  std::string_view plan;  // as ParsePlan reads it
  std::string_view use;
};

std::span<const FormatRow> Formats();
std::span<const PresetRow> Presets();

// A format of the grammar above as it codes keys or values; nullopt when there is none of that name.
std::optional<StreamCodec> FindFormat(std::string_view name, bool key);

// nullopt when the name is not a plan; `*why` then says what was wrong and what is known.
std::optional<CodecPlan> ParsePlan(std::string_view name, std::string* why);

// The codec of an id; null for kRaw and for ids that this build does not know.
const TileCodec* FindTileCodec(CodecId id);

// Highest fidelity that a stream stored so may claim.
Fidelity FidelityOf(const StreamCodec& codec);
// The lowest of a plan's streams.
Fidelity FidelityOf(const CodecPlan& plan);

// Whether the rotation's fields are as RopeTable needs them, or, without kTransformUnrope, all at their
// defaults. Readers refuse other descriptors, so encoders must not write them.
bool RopeFieldsHold(const CodecParams& params);

CodecDescriptor DescriptorOf(const StreamCodec& codec);
// nullopt for an id that this build does not know, a wrong size, a reserved field or parameters that
// no codec accepts in any shape.
std::optional<StreamCodec> ReadDescriptor(const CodecDescriptor& descriptor);

}  // namespace larder
