// A safetensors file in memory: strict reader and writer. Files come from anywhere; nothing in them
// is trusted.
//
//   file    = u64 header_bytes, little-endian; header; tensor bytes
//   header  = JSON object in UTF-8, blanks allowed after it:
//             {"__metadata__": {string: string}, NAME: {"dtype", "shape", "data_offsets"}, ...}
// We refuse what the format forbids or leaves open: names given twice, unknown fields or dtypes,
// shapes whose size differs from their offsets, tensors that overlap or leave holes, trailing bytes.
// Status  INVALID_ARGUMENT with the file's name and what is wrong; NOT_FOUND for no such file.
// Source  the format as the safetensors project describes it (0.4).   Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace larder::cli {

inline constexpr uint64_t kSafetensorsHeaderBytesMax = uint64_t{16} << 20;  // 100,000 tensors
inline constexpr size_t kSafetensorsRankMax = 8;

struct SafetensorsEntry {
  std::string dtype;  // "BF16", "F16", "F32", ...
  std::vector<uint64_t> shape;
  uint64_t offset = 0;  // within Safetensors::bytes
  uint64_t bytes = 0;
};

struct Safetensors {
  std::map<std::string, SafetensorsEntry> tensors;
  std::map<std::string, std::string> metadata;
  std::vector<std::byte> file;
  uint64_t data_begin = 0;  // of tensor bytes within `file`

  std::span<const std::byte> BytesOf(const SafetensorsEntry& entry) const {
    return std::span(file).subspan(data_begin + entry.offset, entry.bytes);
  }
};

// Takes the file's bytes. `name` is for error texts.
absl::StatusOr<Safetensors> ParseSafetensors(std::vector<std::byte> file, std::string_view name);
absl::StatusOr<Safetensors> ReadSafetensors(const std::string& path);

// One tensor to write; the bytes outlive the call.
struct SafetensorsPart {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::span<const std::byte> bytes;
};

// In the order given, the header padded with blanks so that tensor bytes begin on a multiple of 64.
absl::Status WriteSafetensors(const std::vector<SafetensorsPart>& parts, const std::string& path);

// A whole file. NOT_FOUND when it can not be opened.
absl::StatusOr<std::vector<std::byte>> ReadWholeFile(const std::string& path);

}  // namespace larder::cli
