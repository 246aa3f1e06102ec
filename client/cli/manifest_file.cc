#include "client/cli/manifest_file.h"

#include <google/protobuf/util/json_util.h>

#include <charconv>
#include <optional>

#include "absl/strings/str_format.h"
#include "larder/v1/manifest.pb.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"

namespace larder::cli {

absl::StatusOr<Manifest> ParseManifestJson(const std::string& text, std::string_view name) {
  v1::Manifest wire;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &wire);
  if (!parsed.ok()) {
    return InvalidField(name, parsed.ToString(),
                        "JSON of larder.v1.Manifest; `larder manifest show --model llama-3-8b "
                        "--json` prints one to start from");
  }
  return ManifestFromWire(wire);
}

std::string ManifestJson(const Manifest& manifest) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  // Fails only for messages with unresolved Any fields; a manifest has none.
  (void)google::protobuf::util::MessageToJsonString(ManifestToWire(manifest), &text, options);
  return text;
}

std::string FormatSpaceId(SpaceId id) { return absl::StrFormat("0x%016x", id); }

absl::StatusOr<SpaceId> ParseSpaceId(std::string_view text) {
  std::string_view digits = text;
  if (digits.substr(0, 2) == "0x") digits.remove_prefix(2);
  SpaceId id = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), id, 16);
  if (fault != std::errc() || end != digits.data() + digits.size()) {
    return InvalidField("space id", text, "hex digits, as `larder stats` lists them");
  }
  return id;
}

absl::StatusOr<PrefixHash> ParsePrefixHash(std::string_view hex, std::string_view field) {
  const std::optional<std::string> raw = FromHex(hex);
  const std::optional<PrefixHash> hash = raw ? PrefixHash::From(*raw) : std::nullopt;
  if (!hash || hash->empty()) {
    return InvalidField(field, hex, "1 to 32 bytes in hex, as `larder hash` prints them");
  }
  return *hash;
}

}  // namespace larder::cli
