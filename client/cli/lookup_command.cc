#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_file.h"
#include "client/cli/manifest_file.h"
#include "client/cli/quantity.h"
#include "client/cli/space_options.h"
#include "client/cli/table.h"
#include "proto/contract/outcomes.h"

namespace larder::cli {
namespace {

struct LookupCommandOptions {
  SpaceOptions space;
  std::vector<std::string> hashes;
  bool json = false;
};

std::string TierName(uint8_t tier) {
  constexpr std::array<const char*, 4> kNames = {"unknown", "hbm", "dram", "ssd"};
  return tier < kNames.size() ? kNames[tier] : kNames[0];
}

absl::Status PrintJson(const LookupResult& found) {
  nlohmann::ordered_json blocks = nlohmann::ordered_json::array();
  for (const ResidentBlock& block : found.blocks) {
    blocks.push_back({{"tier", TierName(block.tier)},
                      {"codec_id", block.codec_id},
                      {"frame_bytes", block.frame_bytes}});
  }
  return WriteJson({{"hit_blocks", found.blocks.size()},
                    {"miss_reason", std::string(MissReasonName(found.miss_reason))},
                    {"blocks", blocks}},
                   "-");
}

int RunLookup(const Session& session, const LookupCommandOptions& options) {
  std::vector<PrefixHash> hashes;
  for (const std::string& hex : options.hashes) {
    const auto hash = ParsePrefixHash(hex, "HASH");
    if (!hash.ok()) return Fail(hash.status());
    hashes.push_back(*hash);
  }
  const auto open = Open(session, options.space);
  if (!open.ok()) return Fail(open.status());
  LookupOptions lookup;
  lookup.timeout = session.Call().timeout;
  const auto found = open->client->Lookup(open->space, hashes, lookup);
  if (!found.ok()) return Fail(found.status());
  const int exit_code = found->blocks.empty() ? kExitNoMatch : kExitOk;
  if (options.json) {
    const absl::Status written = PrintJson(*found);
    return written.ok() ? exit_code : Fail(written);
  }
  Table table(
      {{"block", Align::kRight}, {"tier"}, {"codec", Align::kRight}, {"stored", Align::kRight}});
  for (size_t i = 0; i < found->blocks.size(); ++i) {
    const ResidentBlock& block = found->blocks[i];
    table.AddRow({std::to_string(i), TierName(block.tier), std::to_string(block.codec_id),
                  FormatBytes(block.frame_bytes)});
  }
  if (!found->blocks.empty()) std::fputs(table.ToString().c_str(), stdout);
  std::printf("%zu of %zu blocks are resident", found->blocks.size(), hashes.size());
  if (found->miss_reason != MissReason::kNone) {
    std::printf("; block %zu is missing: %s", found->blocks.size(),
                std::string(MissReasonName(found->miss_reason)).c_str());
  }
  std::puts("");
  return exit_code;
}

}  // namespace

void AddLookup(CLI::App& app, Session& session) {
  AddCommand<LookupCommandOptions>(
      app, session, "lookup", "Find the longest resident prefix of a chain; pins nothing",
      "  larder lookup --manifest engine.json $(larder hash --block-tokens 16 $(seq 0 63))\n"
      "Exit code 3 when not even the first block is resident.\n",
      [](CLI::App& command, LookupCommandOptions& options) {
        AddSpaceOptions(command, options.space);
        command.add_option("HASH", options.hashes, "Prefix hashes in hex, first block first")
            ->required();
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunLookup);
}

}  // namespace larder::cli
