#include "client/cli/codec_archive.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "client/cli/codec_eval.h"
#include "kernels/codec/stream_layout.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

constexpr uint64_t kPositionsMax = uint64_t{1} << 32;

struct SequenceHeader {
  uint32_t magic = kFrameSequenceMagic;
  uint32_t version = kFrameSequenceVersion;
  uint64_t frames = 0;
};
static_assert(sizeof(SequenceHeader) == 16);

template <typename Value>
void Append(std::vector<std::byte>& out, const Value& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

absl::Status Malformed(std::string_view name, const std::string& found) {
  return InvalidField(name, found,
                      "a frame, or a sequence of them as 'larder codec encode' writes");
}

// The frames of a file; views of `file`.
absl::StatusOr<std::vector<std::span<const std::byte>>> FramesOf(std::span<const std::byte> file,
                                                                 std::string_view name) {
  SequenceHeader header;
  if (file.size() < sizeof(header)) return Malformed(name, "less than 16 bytes");
  std::memcpy(&header, file.data(), sizeof(header));
  if (header.magic != kFrameSequenceMagic) return std::vector{file};
  if (header.version != kFrameSequenceVersion) {
    return Malformed(name, "version " + std::to_string(header.version));
  }
  if (header.frames < 2) return Malformed(name, "a sequence of less than two frames");
  std::vector<std::span<const std::byte>> frames;
  std::span<const std::byte> rest = file.subspan(sizeof(header));
  for (uint64_t i = 0; i < header.frames; ++i) {
    uint64_t bytes = 0;
    if (rest.size() < sizeof(bytes))
      return Malformed(name, "an end before frame " + std::to_string(i));
    std::memcpy(&bytes, rest.data(), sizeof(bytes));
    rest = rest.subspan(sizeof(bytes));
    if (bytes > rest.size()) {
      return Malformed(name, "an end within frame " + std::to_string(i));
    }
    frames.push_back(rest.first(bytes));
    rest = rest.subspan(bytes);
  }
  if (!rest.empty()) return Malformed(name, "bytes after the last frame");
  return frames;
}

// A view of a frame whose every byte is as its writer checked it.
absl::StatusOr<FrameView> Verify(std::span<const std::byte> frame, std::string_view name) {
  FrameView view;
  FrameFault fault = FrameView::Parse(frame, &view);
  if (fault == FrameFault::kNone) {
    FrameVerifier verifier(view);
    fault = verifier.Update(frame.subspan(view.header().header_bytes));
    if (fault == FrameFault::kNone) fault = verifier.Finish();
  }
  if (fault == FrameFault::kNone) fault = CheckCodecs(view);
  if (fault != FrameFault::kNone) return FrameError(fault);
  const KvShape shape = view.shape();
  if (shape.kind != GroupKind::kAttention || shape.axis_order != AxisOrder::kNhd ||
      (shape.dtype != Dtype::kBf16 && shape.dtype != Dtype::kFp16) || RawFrameBytes(shape) == 0) {
    return Malformed(name,
                     "a frame that is not of 16-bit keys and values, [token][head][head_dim]");
  }
  return view;
}

bool SameRows(const KvShape& a, const KvShape& b) {
  return a.dtype == b.dtype && a.kv_heads == b.kv_heads && a.head_dim_k == b.head_dim_k &&
         a.head_dim_v == b.head_dim_v;
}

// Whether the frames are the pieces of one cache, in order.
bool IsWhole(const std::vector<FrameView>& views) {
  const uint64_t begin = views.front().header().token_begin;
  const uint64_t last = views.back().header().token_begin;
  if (begin > kPositionsMax || last > kPositionsMax) return false;
  const uint64_t end = last + views.back().header().tokens;
  uint64_t layer = views.front().header().layer_begin;
  uint64_t token = begin;
  uint32_t layers = 0;  // of the row of frames that `token` is within
  for (const FrameView& view : views) {
    const FrameHeader& header = view.header();
    if (token == begin) layers = header.layers;
    if (!SameRows(view.shape(), views.front().shape()) || header.layer_begin != layer ||
        header.layers != layers || header.token_begin != token || header.tokens > end - token) {
      return false;
    }
    token += header.tokens;
    if (token == end) {
      token = begin;
      layer += layers;
    }
  }
  return token == begin;
}

// A cache of the frames' size, all zero.
KvCache CacheFor(const std::vector<FrameView>& views) {
  const FrameHeader& first = views.front().header();
  const FrameHeader& last = views.back().header();
  KvCache cache;
  cache.dtype = views.front().shape().dtype;
  cache.layer_begin = first.layer_begin;
  cache.heads = first.kv_heads;
  cache.head_dim_k = first.head_dim_k;
  cache.head_dim_v = first.head_dim_v;
  cache.token_begin = first.token_begin;
  cache.tokens = static_cast<uint32_t>(last.token_begin + last.tokens - first.token_begin);
  const uint32_t layers = last.layer_begin + last.layers - first.layer_begin;
  const uint64_t rows = uint64_t{cache.tokens} * cache.heads;
  cache.keys.assign(layers, std::vector<uint16_t>(rows * cache.head_dim_k));
  cache.values.assign(layers, std::vector<uint16_t>(rows * cache.head_dim_v));
  return cache;
}

}  // namespace

absl::StatusOr<CodecArchive> EncodeArchive(const KvCache& cache, const BlockRecipe& recipe,
                                           uint32_t block_tokens) {
  const auto pieces = CutIntoPieces(cache, block_tokens);
  if (!pieces.ok()) return pieces.status();
  CodecArchive archive;
  archive.frames = pieces->size();
  const bool sequence = pieces->size() > 1;
  if (sequence) Append(archive.bytes, SequenceHeader{.frames = pieces->size()});
  BlockCoder coder;
  std::vector<std::byte> raw;
  for (const KvPiece& piece : *pieces) {
    raw.resize(*RawBytes(piece.shape));
    GatherPiece(cache, piece, raw);
    const EncodedBlock block =
        coder.Encode(recipe, LooseIdentity(raw, piece.token_begin), piece.shape, raw);
    if (block.frame.empty()) {
      return InvalidField("--block-tokens", std::to_string(block_tokens),
                          "fewer: a block is larger than a frame when coded");
    }
    archive.streams += 2 * piece.shape.layers;
    archive.coded_streams += block.coded_streams;
    archive.fallback_streams += block.fallback_streams;
    if (sequence) Append(archive.bytes, uint64_t{block.frame.size()});
    archive.bytes.insert(archive.bytes.end(), block.frame.begin(), block.frame.end());
  }
  return archive;
}

absl::StatusOr<DecodedArchive> DecodeArchive(std::span<const std::byte> file,
                                             std::string_view name) {
  const auto frames = FramesOf(file, name);
  if (!frames.ok()) return frames.status();
  std::vector<FrameView> views;
  DecodedArchive decoded;
  decoded.frames = frames->size();
  for (const auto& frame : *frames) {
    auto view = Verify(frame, name);
    if (!view.ok()) return view.status();
    decoded.fidelity = std::min(decoded.fidelity, view->fidelity());
    views.push_back(std::move(*view));
  }
  if (!IsWhole(views))
    return Malformed(name, "frames that are not the parts of one cache in order");
  decoded.cache = CacheFor(views);
  BlockCoder coder;
  std::vector<std::byte> raw;
  for (size_t i = 0; i < views.size(); ++i) {
    raw.resize(views[i].header().raw_bytes);
    if (!DecodeFrame(coder, views[i], (*frames)[i], raw)) {
      return Malformed(name, "a stream that its codec can not read");
    }
    ScatterPiece(raw, {views[i].shape(), views[i].header().token_begin}, decoded.cache);
  }
  return decoded;
}

}  // namespace larder::cli
