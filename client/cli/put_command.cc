#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "client/cli/command.h"
#include "client/cli/durability_option.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_file.h"
#include "client/cli/manifest_file.h"
#include "client/cli/quantity.h"
#include "client/cli/space_options.h"
#include "kernels/format/kv_layout.h"
#include "proto/contract/errors.h"
#include "proto/contract/outcomes.h"

namespace larder::cli {
namespace {

struct PutCommandOptions {
  SpaceOptions space;
  std::string hash;
  std::string file;
  std::string parent;
  uint64_t token_begin = 0;
  uint32_t tokens = 0;
  std::optional<uint32_t> priority;
  uint32_t ttl_seconds = 0;
  std::string codec;
  Durability durability = Durability::kMemory;
  bool encode_here = false;
  bool json = false;
};

absl::StatusOr<std::string> ReadAll(const std::string& path) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFound("file", path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::StatusOr<PutBlock> BlockOf(const PutCommandOptions& options, const KvShape& shape) {
  PutBlock block;
  const auto hash = ParsePrefixHash(options.hash, "HASH");
  if (!hash.ok()) return hash.status();
  block.hash = *hash;
  if (!options.parent.empty()) {
    const auto parent = ParsePrefixHash(options.parent, "--parent");
    if (!parent.ok()) return parent.status();
    block.parent = *parent;
  }
  auto bytes = ReadAll(options.file);
  if (!bytes.ok()) return bytes.status();
  KvShape stored = shape;
  if (options.tokens != 0) stored.tokens = options.tokens;
  const uint64_t expected = RawBytes(stored).value_or(0);
  if (bytes->size() != expected) {
    return InvalidField(options.file, std::to_string(bytes->size()) + " bytes",
                        std::to_string(expected) + " bytes, the raw block of " +
                            std::to_string(stored.tokens) + " tokens in this space");
  }
  const auto owner = std::make_shared<std::string>(*std::move(bytes));
  block.raw =
      std::shared_ptr<const std::byte>(owner, reinterpret_cast<const std::byte*>(owner->data()));
  block.raw_bytes = owner->size();
  block.token_begin = options.token_begin;
  block.tokens = options.tokens;
  block.retention.priority = options.priority;
  block.retention.ttl = std::chrono::seconds(options.ttl_seconds);
  return block;
}

int ExitCodeOfPut(PutOutcome outcome) {
  switch (outcome) {
    case PutOutcome::kStored:
    case PutOutcome::kAlreadyPresent:
      return kExitOk;
    case PutOutcome::kConflict:
    case PutOutcome::kCorrupt:
      return kExitWrongBytes;
    default:
      return kExitError;
  }
}

int RunPut(const Session& session, const PutCommandOptions& options) {
  const auto open = Open(session, options.space);
  if (!open.ok()) return Fail(open.status());
  const auto block = BlockOf(options, open->space.shape);
  if (!block.ok()) return Fail(block.status());
  PutOptions put{session.Call(), options.codec, options.durability};
  if (options.encode_here) put.encode_at = EncodeAt::kClient;
  const auto results = open->client->Put(open->space, {&*block, 1}, put);
  if (!results.ok()) return Fail(results.status());
  const PutResult& result = results->front();
  const int exit_code = ExitCodeOfPut(result.outcome);
  if (options.json) {
    const absl::Status written =
        WriteJson({{"outcome", std::string(PutOutcomeName(result.outcome))},
                   {"frame_bytes", result.frame_bytes},
                   {"durable", result.durable},
                   {"message", result.message}},
                  "-");
    return written.ok() ? exit_code : Fail(written);
  }
  std::fprintf(exit_code == kExitOk ? stdout : stderr, "%s, %s%s%s\n",
               std::string(PutOutcomeName(result.outcome)).c_str(),
               FormatBytes(result.frame_bytes).c_str(), result.message.empty() ? "" : ": ",
               result.message.c_str());
  return exit_code;
}

}  // namespace

void AddPut(CLI::App& app, Session& session) {
  AddCommand<PutCommandOptions>(
      app, session, "put", "Store one block from a file",
      "  larder put --manifest engine.json HASH block.raw\n"
      "  larder put --manifest engine.json --parent HASH0 --token-begin 16 HASH1 - < block.raw\n"
      "The file holds the raw block: layer by layer K then V, as kv_layout.h orders it.\n",
      [](CLI::App& command, PutCommandOptions& options) {
        AddSpaceOptions(command, options.space);
        command.add_option("HASH", options.hash, "Prefix hash in hex")->required();
        command.add_option("FILE", options.file, "Raw bytes; - for stdin")->required();
        command.add_option("--parent", options.parent,
                           "Hash of the block before; none for the first of a chain");
        command.add_option("--token-begin", options.token_begin, "Position of its first token");
        command.add_option("--tokens", options.tokens, "Tokens in it; default a full block");
        command.add_option("--priority", options.priority, "0 (drop first) to 100")
            ->check(CLI::Range(0u, 100u));
        command.add_option("--ttl", options.ttl_seconds, "Seconds until it expires; default never");
        command.add_option("--codec", options.codec,
                           "How it is stored ('larder codec list'); default the server's choice");
        AddDurability(command, options.durability);
        command.add_flag("--encode-here", options.encode_here,
                         "Encode it by --codec before it is sent");
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunPut);
}

}  // namespace larder::cli
