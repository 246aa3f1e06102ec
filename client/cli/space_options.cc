#include "client/cli/space_options.h"

#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "client/cli/manifest_file.h"
#include "client/cli/models.h"
#include "larder/v1/admin.pb.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

constexpr std::string_view kModelPrefix = "model:";
constexpr std::string_view kSpacePrefix = "space:";

absl::StatusOr<Manifest> ManifestOfSpace(const Session& session, std::string_view text) {
  const auto id = ParseSpaceId(text);
  if (!id.ok()) return id.status();
  const auto admin = session.ConnectAdmin();
  if (!admin.ok()) return admin.status();
  const auto spaces = (*admin)->Spaces(session.Call());
  if (!spaces.ok()) return spaces.status();
  for (const v1::Space& space : spaces->spaces()) {
    if (space.id() == *id) return ManifestFromWire(space.manifest());
  }
  return NotFound("space", text);
}

}  // namespace

void AddSpaceOptions(CLI::App& command, SpaceOptions& options) {
  command
      .add_option("--manifest", options.manifest,
                  "Manifest: a JSON FILE, model:NAME for a preset, or space:ID from the server")
      ->required();
  command.add_option("--block-tokens", options.block_tokens, "Tokens per block of a preset")
      ->capture_default_str();
  command.add_option("--tenant", options.tenant, "Isolation domain")->capture_default_str();
  command.add_option("--group", options.group, "Layer group of the manifest; default its first");
}

absl::StatusOr<Manifest> LoadManifest(const Session& session, const std::string& reference,
                                      uint32_t block_tokens) {
  if (reference.starts_with(kModelPrefix)) {
    const auto preset = FindModelPreset(std::string_view(reference).substr(kModelPrefix.size()));
    if (!preset.ok()) return preset.status();
    // Through the wire form, which validates: a preset of 0 tokens is refused like any manifest.
    return ManifestFromWire(ManifestToWire(ManifestOf(*preset, block_tokens)));
  }
  if (reference.starts_with(kSpacePrefix)) {
    return ManifestOfSpace(session, std::string_view(reference).substr(kSpacePrefix.size()));
  }
  std::ifstream file(reference);
  if (!file) return NotFound("manifest file", reference);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return ParseManifestJson(text, reference);
}

absl::StatusOr<OpenSpace> Open(const Session& session, const SpaceOptions& options) {
  const auto manifest = LoadManifest(session, options.manifest, options.block_tokens);
  if (!manifest.ok()) return manifest.status();
  auto client = session.Connect();
  if (!client.ok()) return client.status();
  const auto spaces =
      (*client)->Register(ManifestToWire(*manifest), options.tenant, session.Call());
  if (!spaces.ok()) return spaces.status();
  for (const Space& space : *spaces) {
    if (options.group.empty() || space.group == options.group) {
      return OpenSpace{*std::move(client), space};
    }
  }
  return NotFound("group of the manifest", options.group);
}

}  // namespace larder::cli
