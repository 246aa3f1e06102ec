#include "client/cli/codec_sizes.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "client/cli/quantity.h"
#include "client/cli/table.h"
#include "kernels/codec/stream_layout.h"
#include "kernels/format/frame.h"

namespace larder::cli {
namespace {

constexpr uint64_t kLaterBlock = 1;  // a token_begin that allows no sinks

KvShape WithTokens(KvShape shape, uint32_t tokens) {
  shape.tokens = tokens;
  return shape;
}

uint64_t RawBytesOf(const KvShape& shape) { return RawBytes(shape).value_or(0); }

uint64_t RawFrame(const KvShape& shape) { return shape.tokens == 0 ? 0 : RawFrameBytes(shape); }

// Streams of one kind over all layers, padded as in a frame; nullopt when the size is not fixed.
std::optional<uint64_t> StreamBytes(StreamCodec codec, const KvShape& shape, StreamKind kind,
                                    uint16_t sinks) {
  if (codec.id == CodecId::kRaw) {
    return AlignFrame(RawStreamBytes(shape, kind).value_or(0)) * shape.layers;
  }
  codec.params.transform &=
      ~kTransformUnrope;  // takes no bytes, and the rotation is not known here
  codec.params.sinks = sinks;
  if (!Applies(codec, shape, kind, sinks > 0 ? 0 : kLaterBlock)) return std::nullopt;
  const StreamLayout layout = LayoutOf(codec, shape, kind, shape.kv_heads);
  if (layout.table_bytes > 0) return std::nullopt;
  return AlignFrame(layout.stream_bytes_max) * shape.layers;
}

std::optional<uint64_t> PayloadBytes(const CodecPlan& plan, const KvShape& shape, uint16_t sinks) {
  const auto key = StreamBytes(plan.key, shape, StreamKind::kKey, sinks);
  const auto value = StreamBytes(plan.value, shape, StreamKind::kValue, sinks);
  if (!key || !value) return std::nullopt;
  return *key + *value;
}

}  // namespace

std::optional<PlanSize> SizeOf(const CodecPlan& plan, const SizeOptions& options) {
  const KvShape& shape = options.shape;
  const auto payload = PayloadBytes(plan, shape, 0);
  // Twice the tokens take twice the bytes, but for what is there once.
  const auto twice = PayloadBytes(plan, WithTokens(shape, 2 * shape.tokens), 0);
  const auto first = PayloadBytes(plan, shape, static_cast<uint16_t>(options.sinks));
  if (!payload || !twice || !first) return std::nullopt;
  PlanSize size;
  size.name = plan.name;
  size.block_bytes = 2 * *payload - *twice;
  size.token_bytes = static_cast<double>(*payload - size.block_bytes) / shape.tokens;
  size.header_bytes =
      FrameHeaderRegionBytes(plan.key == plan.value ? 1 : 2, uint64_t{2} * shape.layers);
  const uint64_t blocks = options.tokens / shape.tokens;
  if (blocks > 0) size.sinks_bytes = *first - *payload;
  size.tail_bytes =
      RawFrame(WithTokens(shape, static_cast<uint32_t>(options.tokens % shape.tokens)));
  size.total_bytes = blocks * (*payload + size.header_bytes) + size.sinks_bytes + size.tail_bytes;
  const double raw =
      static_cast<double>(RawBytesOf(WithTokens(shape, 1))) * static_cast<double>(options.tokens);
  size.ratio = raw / static_cast<double>(size.total_bytes);
  return size;
}

std::vector<PlanSize> SizesOfPlans(const SizeOptions& options) {
  std::vector<PlanSize> sizes;
  const auto add = [&](std::string_view name) {
    std::string why;
    const auto plan = ParsePlan(name, &why);
    if (!plan) return;
    if (auto size = SizeOf(*plan, options)) sizes.push_back(*std::move(size));
  };
  for (const PresetRow& row : Presets()) add(row.name);
  for (const FormatRow& row : Formats()) add(row.name);
  std::stable_sort(sizes.begin(), sizes.end(), [](const PlanSize& a, const PlanSize& b) {
    return a.token_bytes > b.token_bytes;
  });
  return sizes;
}

std::string SizesText(const SizeOptions& options, const std::vector<PlanSize>& sizes) {
  Table table({{"codec"},
               {"bytes/token", Align::kRight},
               {"once/block", Align::kRight},
               {"header/block", Align::kRight},
               {"sinks", Align::kRight},
               {"tail", Align::kRight},
               {"all", Align::kRight},
               {"ratio", Align::kRight}});
  for (const PlanSize& size : sizes) {
    table.AddRow({size.name, absl::StrFormat("%.10g", size.token_bytes),
                  FormatCount(size.block_bytes), FormatCount(size.header_bytes),
                  FormatCount(size.sinks_bytes), FormatCount(size.tail_bytes),
                  FormatCount(size.total_bytes), absl::StrFormat("%.2f", size.ratio)});
  }
  const KvShape& shape = options.shape;
  return absl::StrFormat(
             "%d layers, %d KV heads, %d channels, 16 bits: %s raw bytes per token; blocks of %d "
             "tokens\n\n",
             shape.layers, shape.kv_heads, shape.head_dim_k,
             FormatCount(RawBytesOf(WithTokens(shape, 1))), shape.tokens) +
         table.ToString() +
         absl::StrFormat(
             "\nbytes/token: codes and scales. once/block: scales of a head, means, padding. "
             "sinks: what the\nfirst %d tokens add by standing raw. tail: the %d tokens of the "
             "last "
             "block, raw. all: frames of\n%s tokens. Codecs whose size varies with the values: "
             "larder codec eval.\n",
             options.sinks, options.tokens % shape.tokens, FormatCount(options.tokens));
}

nlohmann::ordered_json SizesJson(const SizeOptions& options, const std::vector<PlanSize>& sizes) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const PlanSize& size : sizes) {
    json.push_back({{"name", size.name},
                    {"bytes_per_token", size.token_bytes},
                    {"once_per_block_bytes", size.block_bytes},
                    {"header_bytes", size.header_bytes},
                    {"sinks_bytes", size.sinks_bytes},
                    {"tail_bytes", size.tail_bytes},
                    {"total_bytes", size.total_bytes},
                    {"ratio_to_16_bits", size.ratio}});
  }
  return {{"block_tokens", options.shape.tokens},
          {"sinks", options.sinks},
          {"tokens", options.tokens},
          {"raw_bytes_per_token", RawBytesOf(WithTokens(options.shape, 1))},
          {"codecs", json}};
}

}  // namespace larder::cli
