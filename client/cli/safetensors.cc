#include "client/cli/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

using Json = nlohmann::json;

struct DtypeRow {
  std::string_view name;
  uint64_t bytes;
};
constexpr DtypeRow kDtypes[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
                                {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                                {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};

std::optional<uint64_t> BytesOfShape(std::string_view dtype, const std::vector<uint64_t>& shape) {
  const auto row =
      std::ranges::find_if(kDtypes, [&](const DtypeRow& known) { return known.name == dtype; });
  if (row == std::end(kDtypes)) return std::nullopt;
  uint64_t bytes = row->bytes;
  for (const uint64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return bytes;
}

// A list of integers that are not negative.
std::optional<std::vector<uint64_t>> Integers(const Json& json) {
  if (!json.is_array()) return std::nullopt;
  std::vector<uint64_t> integers;
  for (const Json& value : json) {
    if (!value.is_number_unsigned()) return std::nullopt;
    integers.push_back(value.get<uint64_t>());
  }
  return integers;
}

// The object of the header, or why it is none. No exceptions; names given twice are refused.
std::optional<Json> ParseHeader(std::string_view text, std::string* why) {
  std::vector<std::set<std::string>> keys;
  std::string twice;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  if (text.empty() || text.front() != '{') {
    *why = "a header that does not begin with {";
    return std::nullopt;
  }
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    *why = "a header that is not a JSON object";
    return std::nullopt;
  }
  if (!twice.empty()) {
    *why = "the name '" + twice + "' twice in the header";
    return std::nullopt;
  }
  return json;
}

bool ReadMetadata(const Json& json, std::map<std::string, std::string>& metadata) {
  if (!json.is_object()) return false;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) return false;
    metadata[name] = value.get<std::string>();
  }
  return true;
}

// nullopt, or what is wrong.
std::optional<std::string> ReadEntry(const Json& json, uint64_t data_bytes,
                                     SafetensorsEntry& entry) {
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets") || !json["dtype"].is_string()) {
    return "not exactly dtype, shape and data_offsets";
  }
  entry.dtype = json["dtype"].get<std::string>();
  const auto shape = Integers(json["shape"]);
  const auto offsets = Integers(json["data_offsets"]);
  if (!shape || shape->size() > kSafetensorsRankMax) {
    return "a shape that is not a list of up to 8 sizes";
  }
  entry.shape = *shape;
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1] ||
      (*offsets)[1] > data_bytes) {
    return "data_offsets that are not [begin, end] within the " + std::to_string(data_bytes) +
           " bytes after the header";
  }
  entry.offset = (*offsets)[0];
  entry.bytes = (*offsets)[1] - (*offsets)[0];
  const auto bytes = BytesOfShape(entry.dtype, entry.shape);
  if (!bytes) return "dtype " + entry.dtype + " unknown, or a shape too large";
  if (*bytes != entry.bytes) {
    return std::to_string(entry.bytes) + " bytes where dtype and shape make " +
           std::to_string(*bytes);
  }
  return std::nullopt;
}

// Whether the tensors follow each other without hole or overlap and end with the file.
bool Tiles(const std::map<std::string, SafetensorsEntry>& tensors, uint64_t data_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& [name, entry] : tensors) {
    ranges.emplace_back(entry.offset, entry.offset + entry.bytes);
  }
  std::ranges::sort(ranges);
  uint64_t at = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != at) return false;
    at = end;
  }
  return at == data_bytes;
}

}  // namespace

absl::StatusOr<Safetensors> ParseSafetensors(std::vector<std::byte> file, std::string_view name) {
  const auto fault = [&](const std::string& found) {
    return InvalidField(name, found, "a well-formed safetensors file");
  };
  uint64_t header_bytes = 0;
  if (file.size() < sizeof(header_bytes)) return fault("less than 8 bytes");
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  if (header_bytes > kSafetensorsHeaderBytesMax) {
    return fault("a header of " + std::to_string(header_bytes) +
                 " bytes, over the limit of 16 MiB");
  }
  if (header_bytes > file.size() - sizeof(header_bytes)) {
    return fault("a header of " + std::to_string(header_bytes) + " bytes in a file of " +
                 std::to_string(file.size()));
  }
  std::string why;
  const auto json = ParseHeader(
      {reinterpret_cast<const char*>(file.data()) + sizeof(header_bytes), header_bytes}, &why);
  if (!json) return fault(why);

  Safetensors read;
  read.data_begin = sizeof(header_bytes) + header_bytes;
  const uint64_t data_bytes = file.size() - read.data_begin;
  for (const auto& [tensor, value] : json->items()) {
    if (tensor == "__metadata__") {
      if (!ReadMetadata(value, read.metadata)) return fault("__metadata__ that is not all strings");
      continue;
    }
    const auto wrong = ReadEntry(value, data_bytes, read.tensors[tensor]);
    if (wrong) return fault("tensor '" + tensor + "': " + *wrong);
  }
  if (!Tiles(read.tensors, data_bytes)) {
    return fault("tensors that overlap, leave holes or do not fill the file");
  }
  read.file = std::move(file);
  return read;
}

absl::StatusOr<std::vector<std::byte>> ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
  if (size < 0) return NotFound("file", path);
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), size);
  if (!file) return InvalidField(path, "a read error", "a regular file");
  return bytes;
}

absl::StatusOr<Safetensors> ReadSafetensors(const std::string& path) {
  auto file = ReadWholeFile(path);
  if (!file.ok()) return file.status();
  return ParseSafetensors(std::move(*file), path);
}

absl::Status WriteSafetensors(const std::vector<SafetensorsPart>& parts, const std::string& path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  uint64_t offset = 0;
  for (const SafetensorsPart& part : parts) {
    header[part.name] = {{"dtype", part.dtype},
                         {"shape", part.shape},
                         {"data_offsets", {offset, offset + part.bytes.size()}}};
    offset += part.bytes.size();
  }
  std::string text = header.dump();
  uint64_t header_bytes = text.size();
  header_bytes += (64 - (sizeof(header_bytes) + header_bytes) % 64) % 64;
  text.resize(header_bytes, ' ');
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header_bytes), sizeof(header_bytes));
  file << text;
  for (const SafetensorsPart& part : parts) {
    file.write(reinterpret_cast<const char*>(part.bytes.data()),
               static_cast<std::streamsize>(part.bytes.size()));
  }
  file.close();
  if (!file) return InvalidField("OUT", path, "a file that can be written");
  return absl::OkStatus();
}

}  // namespace larder::cli
