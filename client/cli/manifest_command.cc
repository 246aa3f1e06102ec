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
#include "proto/contract/manifest.h"

namespace larder::cli {
namespace {

struct ShowOptions {
  std::string reference;
  std::string model;
  std::string space;
  std::string tenant = "default";
  uint32_t block_tokens = 16;
  bool json = false;
};

struct DiffOptions {
  std::string left;
  std::string right;
  uint32_t block_tokens = 16;
  bool json = false;
};

int RunShow(const Session& session, const ShowOptions& options) {
  const std::string reference = !options.model.empty()   ? "model:" + options.model
                                : !options.space.empty() ? "space:" + options.space
                                                         : options.reference;
  const auto manifest = LoadManifest(session, reference, options.block_tokens);
  if (!manifest.ok()) return Fail(manifest.status());
  std::fputs(ManifestJson(*manifest).c_str(), stdout);
  if (options.json) return kExitOk;

  const Digest digest = ManifestDigest(*manifest);
  std::printf("\ndigest           %s\nbytes per token  %s (%s)\n\n", ToHex(digest).c_str(),
              FormatCount(BytesPerToken(*manifest)).c_str(),
              FormatBytes(BytesPerToken(*manifest)).c_str());
  Table groups({{"group"}, {"space"}, {"raw block", Align::kRight}});
  for (const LayerGroup& group : manifest->groups) {
    const Digest space = SpaceDigest(options.tenant, digest, group.name);
    groups.AddRow({group.name, FormatSpaceId(SpaceIdOf(space)),
                   FormatBytes(RawBytes(ShapeOf(*manifest, group)).value_or(0))});
  }
  std::fputs(groups.ToString().c_str(), stdout);
  return kExitOk;
}

int RunDiff(const Session& session, const DiffOptions& options) {
  const auto left = LoadManifest(session, options.left, options.block_tokens);
  if (!left.ok()) return Fail(left.status());
  const auto right = LoadManifest(session, options.right, options.block_tokens);
  if (!right.ok()) return Fail(right.status());
  const std::vector<FieldDifference> differences = DiffManifests(*left, *right);
  const int exit_code = differences.empty() ? kExitOk : kExitNoMatch;
  if (options.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const FieldDifference& difference : differences) {
      json.push_back({{"field", difference.field},
                      {"left", difference.left},
                      {"right", difference.right},
                      {"consequence", difference.consequence}});
    }
    const absl::Status written = WriteJson({{"differences", json}}, "-");
    return written.ok() ? exit_code : Fail(written);
  }
  if (differences.empty()) {
    std::puts("equal: both name the same spaces and share blocks");
    return exit_code;
  }
  Table table({{"field"}, {options.left}, {options.right}, {"so"}});
  for (const FieldDifference& difference : differences) {
    table.AddRow({difference.field, difference.left, difference.right, difference.consequence});
  }
  std::fputs(table.ToString().c_str(), stdout);
  return exit_code;
}

void AddShow(CLI::App& app, Session& session) {
  AddCommand<ShowOptions>(
      app, session, "show", "Print a manifest, its digest, its spaces and its sizes",
      "  larder manifest show engine.json\n"
      "  larder manifest show --model llama-3-8b --block-tokens 256\n"
      "  larder manifest show --model llama-3-8b --json > engine.json   # one to start from\n"
      "  larder manifest show --space 0x1f6a3c0de2b44d71\n",
      [](CLI::App& command, ShowOptions& options) {
        CLI::Option_group* source = command.add_option_group("source");
        source->add_option("FILE", options.reference, "Protobuf JSON of larder.v1.Manifest");
        source->add_option("--model", options.model, "A preset (a wrong name lists them)");
        source->add_option("--space", options.space, "A space of the server, by id");
        source->require_option(1);
        command.add_option("--block-tokens", options.block_tokens, "Tokens per block of a preset")
            ->capture_default_str();
        command.add_option("--tenant", options.tenant, "Whose space ids to print")
            ->capture_default_str();
        command.add_flag("--json", options.json, "Only the manifest's JSON");
      },
      RunShow);
}

void AddDiff(CLI::App& app, Session& session) {
  AddCommand<DiffOptions>(
      app, session, "diff", "Name every field that keeps two engines from sharing blocks",
      "  larder manifest diff prefill.json decode.json\n"
      "  larder manifest diff engine.json space:0x1f6a3c0de2b44d71\n"
      "  larder manifest diff model:llama-3-8b model:llama-3-70b\n",
      [](CLI::App& command, DiffOptions& options) {
        command.add_option("A", options.left, "FILE, model:NAME or space:ID")->required();
        command.add_option("B", options.right, "FILE, model:NAME or space:ID")->required();
        command.add_option("--block-tokens", options.block_tokens, "Tokens per block of a preset")
            ->capture_default_str();
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunDiff);
}

}  // namespace

void AddManifest(CLI::App& app, Session& session) {
  CLI::App* manifest =
      app.add_subcommand("manifest", "Show manifests and why two of them do not share blocks");
  manifest->require_subcommand(1);
  AddShow(*manifest, session);
  AddDiff(*manifest, session);
}

}  // namespace larder::cli
