// Manifests as files: the Protobuf JSON of larder.v1.Manifest (field names as in manifest.proto;
// bytes in base64). Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/contract/manifest.h"

namespace larder::cli {

// INVALID_ARGUMENT naming `name`, for text that is not such JSON, and for every field that breaks
// the contract.
absl::StatusOr<Manifest> ParseManifestJson(const std::string& text, std::string_view name);

std::string ManifestJson(const Manifest& manifest);

// Spaces are shown and named as 16 hex digits with 0x in front.
std::string FormatSpaceId(SpaceId id);
// With or without 0x. INVALID_ARGUMENT.
absl::StatusOr<SpaceId> ParseSpaceId(std::string_view text);

// INVALID_ARGUMENT unless 1 to 32 bytes of hex digits; `field` names it in the error.
absl::StatusOr<PrefixHash> ParsePrefixHash(std::string_view hex, std::string_view field);

}  // namespace larder::cli
