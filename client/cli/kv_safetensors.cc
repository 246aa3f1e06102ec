#include "client/cli/kv_safetensors.h"

#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

constexpr uint64_t kExtentMax = uint64_t{1} << 24;  // of tokens, as of RoPE positions

std::string NameOf(uint32_t layer, bool key) {
  return "layers." + std::to_string(layer) + (key ? ".k" : ".v");
}

// The layer of a tensor's name; nullopt for any name that NameOf does not give.
std::optional<uint32_t> LayerOf(std::string_view name) {
  constexpr std::string_view kPrefix = "layers.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  uint32_t layer = 0;
  const char* begin = name.data() + kPrefix.size();
  const auto parsed = std::from_chars(begin, name.data() + name.size(), layer);
  if (parsed.ec != std::errc{}) return std::nullopt;
  if (name != NameOf(layer, true) && name != NameOf(layer, false)) return std::nullopt;
  return layer;
}

std::vector<uint16_t> Elements(std::span<const std::byte> bytes) {
  std::vector<uint16_t> elements(bytes.size() / 2);
  if (!elements.empty()) std::memcpy(elements.data(), bytes.data(), bytes.size());
  return elements;
}

}  // namespace

absl::StatusOr<KvCache> KvOfSafetensors(const Safetensors& tensors, const std::string& name,
                                        uint64_t token_begin) {
  const auto fault = [&](const std::string& found) {
    return InvalidField(name, found,
                        "layers.N.k and layers.N.v of every layer, [tokens, heads, head_dim], all "
                        "BF16 or all F16");
  };
  std::optional<uint32_t> first;
  for (const auto& [tensor, entry] : tensors.tensors) {
    const auto layer = LayerOf(tensor);
    if (!layer) return fault("a tensor '" + tensor + "'");
    first = std::min(first.value_or(*layer), *layer);
  }
  if (!first || tensors.tensors.size() % 2 != 0) return fault("no pairs of tensors");
  const auto layers = static_cast<uint32_t>(tensors.tensors.size() / 2);
  if (layers > kShapeLayersMax || *first > kExtentMax) return fault("too many layers");

  KvCache cache;
  cache.layer_begin = *first;
  cache.token_begin = token_begin;
  const std::string& dtype = tensors.tensors.begin()->second.dtype;
  if (dtype != "BF16" && dtype != "F16") return fault("dtype " + dtype);
  cache.dtype = dtype == "BF16" ? Dtype::kBf16 : Dtype::kFp16;
  for (uint32_t layer = *first; layer < *first + layers; ++layer) {
    for (const bool key : {true, false}) {
      const std::string tensor = NameOf(layer, key);
      const auto found = tensors.tensors.find(tensor);
      if (found == tensors.tensors.end()) return fault("no tensor '" + tensor + "'");
      const SafetensorsEntry& entry = found->second;
      if (entry.dtype != dtype) return fault("'" + tensor + "' of another dtype, " + entry.dtype);
      if (entry.shape.size() != 3) return fault("'" + tensor + "' without three axes");
      for (const uint64_t extent : entry.shape) {
        if (extent == 0 || extent > kExtentMax)
          return fault("'" + tensor + "' of a size out of range");
      }
      uint32_t& head_dim = key ? cache.head_dim_k : cache.head_dim_v;
      if (layer == *first) {
        head_dim = static_cast<uint32_t>(entry.shape[2]);
        if (key) {
          cache.tokens = static_cast<uint32_t>(entry.shape[0]);
          cache.heads = static_cast<uint32_t>(entry.shape[1]);
        }
      }
      if (entry.shape != std::vector<uint64_t>{cache.tokens, cache.heads, head_dim}) {
        return fault("'" + tensor + "' of another shape than its fellows");
      }
      (key ? cache.keys : cache.values).push_back(Elements(tensors.BytesOf(entry)));
    }
  }
  return cache;
}

absl::StatusOr<KvCache> ReadKv(const std::string& path, uint64_t token_begin) {
  const auto tensors = ReadSafetensors(path);
  if (!tensors.ok()) return tensors.status();
  return KvOfSafetensors(*tensors, path, token_begin);
}

absl::Status WriteKv(const KvCache& cache, const std::string& path) {
  std::vector<SafetensorsPart> parts;
  for (uint32_t i = 0; i < cache.layers(); ++i) {
    for (const bool key : {true, false}) {
      parts.push_back(
          {.name = NameOf(cache.layer_begin + i, key),
           .dtype = cache.dtype == Dtype::kBf16 ? "BF16" : "F16",
           .shape = {cache.tokens, cache.heads, key ? cache.head_dim_k : cache.head_dim_v},
           .bytes = std::as_bytes(std::span(key ? cache.keys[i] : cache.values[i]))});
    }
  }
  return WriteSafetensors(parts, path);
}

}  // namespace larder::cli
