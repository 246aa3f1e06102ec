#include "client/cli/codec_eval.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "client/cli/inner_product_error.h"
#include "client/cli/kv_profile.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

constexpr double kMeasurementSeconds = 0.01;  // at least: small data is passed over many times
constexpr double kPassesMax = 1000;

// Of one pass: the median of `repeats` measurements, after a pass that warms caches and allocator.
template <typename Pass>
double MedianSeconds(uint32_t repeats, Pass pass) {
  const auto seconds_of = [&](uint32_t passes) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    for (uint32_t i = 0; i < passes; ++i) pass();
    return std::max(std::chrono::duration<double>(Clock::now() - start).count() / passes, 1e-9);
  };
  const double first = seconds_of(1);
  if (repeats == 0) return first;
  const auto passes =
      static_cast<uint32_t>(std::clamp(kMeasurementSeconds / first, 1.0, kPassesMax));
  std::vector<double> seconds;
  for (uint32_t i = 0; i < repeats; ++i) seconds.push_back(seconds_of(passes));
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace

FrameIdentity LooseIdentity(std::span<const std::byte> raw, uint64_t token_begin) {
  FrameIdentity identity;
  const Checksum128 checksum = ChecksumOf(raw);
  std::memcpy(identity.prefix_hash.data(), &checksum, sizeof(checksum));
  identity.prefix_hash_bytes = sizeof(checksum);
  identity.token_begin = token_begin;
  return identity;
}

absl::StatusOr<CodecEval> CodecEval::Create(const KvCache& cache, const CodecEvalOptions& options) {
  if (!IsFinite(cache)) {
    return InvalidField("tensors", "an infinity or a NaN", "finite values: errors have no meaning");
  }
  auto pieces = CutIntoPieces(cache, options.block_tokens);
  if (!pieces.ok()) return pieces.status();
  CodecEval eval(cache, options);
  eval.pieces_ = std::move(*pieces);
  for (const KvPiece& piece : eval.pieces_) {
    GatherPiece(cache, piece, eval.raw_.emplace_back(*RawBytes(piece.shape)));
  }
  eval.queries_ = MakeNeedleQueries(cache, options.queries, options.seed);
  return eval;
}

double CodecEval::CopyBytesPerSecond() const {
  std::vector<std::vector<std::byte>> copies = raw_;
  const double seconds = MedianSeconds(options_.repeats, [&] {
    for (size_t i = 0; i < raw_.size(); ++i) {
      std::memcpy(copies[i].data(), raw_[i].data(), raw_[i].size());
    }
  });
  return static_cast<double>(cache_.bytes()) / seconds;
}

absl::StatusOr<std::vector<std::vector<std::byte>>> CodecEval::Encode(const CodecPlan& plan,
                                                                      CodecScore& score) const {
  BlockRecipe recipe;
  recipe.plan = plan;
  recipe.rope = options_.rope;
  BlockCoder coder;
  std::vector<FrameIdentity> identities;
  for (size_t i = 0; i < raw_.size(); ++i) {
    identities.push_back(LooseIdentity(raw_[i], pieces_[i].token_begin));
  }
  std::vector<EncodedBlock> blocks(raw_.size());
  const double seconds = MedianSeconds(options_.repeats, [&] {
    for (size_t i = 0; i < raw_.size(); ++i) {
      blocks[i] = coder.Encode(recipe, identities[i], pieces_[i].shape, raw_[i]);
    }
  });
  score.encode_bytes_per_second = static_cast<double>(cache_.bytes()) / seconds;
  std::vector<std::vector<std::byte>> frames;
  for (EncodedBlock& block : blocks) {
    if (block.frame.empty()) return Bug("codec '" + plan.name + "' made no frame");
    score.fallback_streams += block.fallback_streams;
    frames.push_back(std::move(block.frame));
  }
  return frames;
}

absl::StatusOr<KvCache> CodecEval::Decode(const std::vector<std::vector<std::byte>>& frames,
                                          CodecScore& score) const {
  const auto broken = [&] { return Bug("codec '" + score.name + "': a frame does not decode"); };
  std::vector<FrameView> views(frames.size());
  uint64_t frame_bytes = 0, key_bytes = 0, value_bytes = 0;
  for (size_t i = 0; i < frames.size(); ++i) {
    if (FrameView::Parse(frames[i], &views[i]) != FrameFault::kNone) return broken();
    frame_bytes += frames[i].size();
    for (const StreamEntry& stream : views[i].streams()) {
      const bool key = stream.kind == static_cast<uint8_t>(StreamKind::kKey);
      (key ? key_bytes : value_bytes) += stream.bytes;
    }
    score.fidelity = std::min(score.fidelity, views[i].fidelity());
  }
  const auto key_elements = static_cast<double>(cache_.key_elements());
  const auto value_elements = static_cast<double>(cache_.value_elements());
  score.key_bits = 8.0 * static_cast<double>(key_bytes) / key_elements;
  score.value_bits = 8.0 * static_cast<double>(value_bytes) / value_elements;
  score.bits = 8.0 * static_cast<double>(key_bytes + value_bytes) / (key_elements + value_elements);
  score.ratio = static_cast<double>(cache_.bytes()) / static_cast<double>(frame_bytes);

  std::vector<std::vector<std::byte>> decoded = raw_;  // sizes, and memory that is already there
  BlockCoder coder;
  bool whole = true;
  const double seconds = MedianSeconds(options_.repeats, [&] {
    for (size_t i = 0; i < frames.size(); ++i) {
      whole = DecodeFrame(coder, views[i], frames[i], decoded[i]) && whole;
    }
  });
  if (!whole) return broken();
  score.decode_bytes_per_second = static_cast<double>(cache_.bytes()) / seconds;
  KvCache cache = cache_;
  for (size_t i = 0; i < pieces_.size(); ++i) ScatterPiece(decoded[i], pieces_[i], cache);
  return cache;
}

void CodecEval::Compare(const KvCache& decoded, CodecScore& score) const {
  AttentionError error;
  InnerProductError products(options_.seed);
  for (uint32_t layer = 0; layer < cache_.layers(); ++layer) {
    for (uint32_t head = 0; head < cache_.heads; ++head) {
      const auto rows = [&](const KvCache& cache, StreamKind kind) {
        return RowsOfHead(cache, kind, layer, head);
      };
      const std::vector<float> keys = rows(cache_, StreamKind::kKey);
      const std::vector<float> values = rows(cache_, StreamKind::kValue);
      const std::vector<float> decoded_keys = rows(decoded, StreamKind::kKey);
      const std::vector<float> decoded_values = rows(decoded, StreamKind::kValue);
      error.Add({.head_dim_k = cache_.head_dim_k,
                 .head_dim_v = cache_.head_dim_v,
                 .queries = queries_[size_t{layer} * cache_.heads + head],
                 .keys = keys,
                 .values = values,
                 .decoded_keys = decoded_keys,
                 .decoded_values = decoded_values});
      products.Add(keys, decoded_keys, cache_.head_dim_k);
    }
  }
  score.errors = error.Scores();
  score.inner_product_slope = products.Slope();
  score.inner_product_variance = products.Variance();
}

absl::StatusOr<CodecScore> CodecEval::Score(const CodecPlan& plan) const {
  CodecScore score;
  score.name = plan.name;
  const auto frames = Encode(plan, score);
  if (!frames.ok()) return frames.status();
  const auto decoded = Decode(*frames, score);
  if (!decoded.ok()) return decoded.status();
  Compare(*decoded, score);
  return score;
}

}  // namespace larder::cli
