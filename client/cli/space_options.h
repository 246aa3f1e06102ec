// The options by which lookup, put and get name a space, and what they open.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "client/client.h"
#include "proto/contract/manifest.h"

namespace larder::cli {

struct SpaceOptions {
  std::string manifest;
  uint32_t block_tokens = 16;  // of a preset
  std::string tenant = "default";
  std::string group;  // empty: the first
};

void AddSpaceOptions(CLI::App& command, SpaceOptions& options);

// A manifest by reference: a file, "model:NAME" for a preset of `block_tokens`, or "space:ID" for
// one that the server has.
absl::StatusOr<Manifest> LoadManifest(const Session& session, const std::string& reference,
                                      uint32_t block_tokens);

struct OpenSpace {
  std::unique_ptr<Client> client;
  Space space;
};

// Connects, registers the manifest, picks the group. NOT_FOUND for a group that the manifest lacks.
absl::StatusOr<OpenSpace> Open(const Session& session, const SpaceOptions& options);

}  // namespace larder::cli
