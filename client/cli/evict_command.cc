#include <cstdio>
#include <string>
#include <vector>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/manifest_file.h"
#include "client/cli/proto_json.h"
#include "client/cli/quantity.h"
#include "larder/v1/admin.pb.h"

namespace larder::cli {
namespace {

struct EvictOptions {
  std::string space;
  std::vector<std::string> hashes;
  bool json = false;
};

int RunEvict(const Session& session, const EvictOptions& options) {
  const auto id = ParseSpaceId(options.space);
  if (!id.ok()) return Fail(id.status());
  v1::EvictRequest request;
  request.set_space_id(*id);
  for (const std::string& hex : options.hashes) {
    const auto hash = ParsePrefixHash(hex, "HASH");
    if (!hash.ok()) return Fail(hash.status());
    request.add_prefix_hashes(std::string(hash->view()));
  }
  const auto admin = session.ConnectAdmin();
  if (!admin.ok()) return Fail(admin.status());
  const auto answer = (*admin)->Evict(request, session.Call());
  if (!answer.ok()) return Fail(answer.status());
  if (options.json) {
    PrintProtoJson(*answer);
  } else {
    std::printf("%s blocks evicted, %s left because a lease or a transfer holds them\n",
                FormatCount(answer->evicted_blocks()).c_str(),
                FormatCount(answer->held_blocks()).c_str());
  }
  return kExitOk;
}

}  // namespace

void AddEvict(CLI::App& app, Session& session) {
  AddCommand<EvictOptions>(
      app, session, "evict", "Remove a space's blocks, or some of them with their descendants",
      "  larder evict --space 0x1f6a3c0de2b44d71\n"
      "  larder evict --space 0x1f6a3c0de2b44d71 "
      "fea7b32778ecbdd7adee1941e98c89cf96bbc762f5f1beb0be24e36a456fbbc5\n",
      [](CLI::App& command, EvictOptions& options) {
        command.add_option("--space", options.space, "Space id, as `larder stats` lists it")
            ->required();
        command.add_option("HASH", options.hashes, "Prefix hashes in hex; none: the whole space");
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunEvict);
}

}  // namespace larder::cli
