#include "tests/fault/crash_blocks.h"

#include <algorithm>
#include <cstring>

#include "client/put_call.h"
#include "kernels/format/frame.h"
#include "proto/contract/convert.h"
#include "tests/integration/known_blocks.h"

namespace larder::testing {
namespace {

constexpr uint32_t kTokens = 64;

v1::Manifest FloatManifest(const std::string& model) {
  Manifest manifest;
  manifest.model = model;
  manifest.weights_digest = "crash";
  manifest.dtype = Dtype::kBf16;
  manifest.block_tokens = kTokens;
  manifest.rope = {.pairing = RopePairing::kHalf, .theta = 500'000, .rotary_dim = 64};
  manifest.hash_scheme.name = "crash";
  manifest.groups.push_back({.name = "full",
                             .kind = GroupKind::kAttention,
                             .layers = 2,
                             .kv_heads = 2,
                             .head_dim_k = 64,
                             .head_dim_v = 64});
  return ManifestToWire(manifest);
}

uint64_t Mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
  return word ^ (word >> 31);
}

}  // namespace

std::string Text(const BlockName& name) {
  return "space " + std::to_string(name.space) + " chain " + std::to_string(name.chain) +
         " position " + std::to_string(name.position);
}

std::vector<CrashSpace> CrashSpaces() {
  std::vector<CrashSpace> spaces;
  for (const char* tenant : {"a", "b"}) {
    spaces.push_back({tenant, KnownManifest("crash-raw", 2, 1024), ""});
    spaces.push_back({tenant, FloatManifest("crash-lossless"), "lossless"});
    spaces.push_back({tenant, FloatManifest("crash-fp8"), "fp8"});
  }
  return spaces;
}

PrefixHash CrashHash(uint32_t chain, uint32_t position) { return KnownHash(chain, position); }

void FillCrashBlock(const BlockName& name, uint32_t version, Dtype dtype,
                    std::span<std::byte> bytes) {
  uint64_t state = Mix(uint64_t{name.chain} << 32 | name.position) ^
                   Mix(uint64_t{name.space} << 32 | version | uint64_t{1} << 63);
  for (size_t at = 0; at < bytes.size(); at += sizeof(state)) {
    uint64_t word = Mix(state += 0x9E3779B97F4A7C15u);
    // Sign and mantissa are random, the exponent is one of two: values of 0.5 to 2.
    if (dtype == Dtype::kBf16) word = (word & 0x80FF'80FF'80FF'80FFu) | 0x3F00'3F00'3F00'3F00u;
    std::memcpy(bytes.data() + at, &word, std::min(sizeof(word), bytes.size() - at));
  }
}

PutBlock CrashBlock(const Space& space, const BlockName& name, uint32_t version) {
  PutBlock block;
  block.hash = CrashHash(name.chain, name.position);
  if (name.position > 0) block.parent = CrashHash(name.chain, name.position - 1);
  block.token_begin = uint64_t{name.position} * space.shape.tokens;
  block.raw_bytes = RawBytesOf(space);
  auto* raw = new std::byte[block.raw_bytes];
  FillCrashBlock(name, version, space.shape.dtype, {raw, block.raw_bytes});
  block.raw = std::shared_ptr<const std::byte>(raw, std::default_delete<std::byte[]>());
  return block;
}

bool BlockJudge::Matches(const Space& space, const BlockName& name, uint32_t version,
                         const GetResult& result, std::span<const std::byte> bytes) {
  raw_.resize(bytes.size());
  FillCrashBlock(name, version, space.shape.dtype, raw_);
  if (result.fidelity == Fidelity::kExact) {
    return std::equal(bytes.begin(), bytes.end(), raw_.begin());
  }
  FrameView view;
  if (FrameView::Parse(result.frame_header, &view) != FrameFault::kNone) return false;
  if (AreMadeFromRaw(view, bytes)) return true;
  return view.fidelity() == Fidelity::kBalanced && GoThroughMemory(space, view) &&
         AreMadeFromRaw(view, bytes);
}

bool BlockJudge::AreMadeFromRaw(const FrameView& view, std::span<const std::byte> bytes) {
  const EncodedBlock expected = coder_.EncodeLike(view, raw_);
  decoded_.assign(bytes.size(), {});
  return !expected.frame.empty() && DecodeFrame(coder_, view, expected.frame, decoded_) &&
         std::equal(bytes.begin(), bytes.end(), decoded_.begin());
}

bool BlockJudge::GoThroughMemory(const Space& space, const FrameView& view) {
  const BlockRecipe recipe = RecipeOf(space, {.codec = "fp8"});  // with the server's defaults
  const std::vector<std::byte> frame =
      coder_.Encode(recipe, view.identity(), view.shape(), raw_).frame;
  FrameView encoded;
  return FrameView::Parse(frame, &encoded) == FrameFault::kNone &&
         DecodeFrame(coder_, encoded, frame, raw_);
}

}  // namespace larder::testing
