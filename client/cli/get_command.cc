#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/manifest_file.h"
#include "client/cli/space_options.h"
#include "kernels/format/kv_layout.h"
#include "proto/contract/errors.h"
#include "proto/contract/outcomes.h"

namespace larder::cli {
namespace {

struct GetCommandOptions {
  SpaceOptions space;
  std::string hash;
  std::string file;
};

absl::Status WriteAll(const std::vector<std::byte>& bytes, size_t count, const std::string& path) {
  std::ofstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::ostream& out = path == "-" ? std::cout : file;
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(count));
  out.flush();
  if (!out) return InvalidField("FILE", path, "a file that can be written, or - for stdout");
  return absl::OkStatus();
}

int RunGet(const Session& session, const GetCommandOptions& options) {
  const auto hash = ParsePrefixHash(options.hash, "HASH");
  if (!hash.ok()) return Fail(hash.status());
  const auto open = Open(session, options.space);
  if (!open.ok()) return Fail(open.status());
  std::vector<std::byte> bytes(RawBytes(open->space.shape).value_or(0));
  const GetBlock wanted{*hash, bytes};
  GetOptions get;
  get.timeout = session.Call().timeout;
  const auto results = open->client->Get(open->space, {&wanted, 1}, get);
  if (!results.ok()) return Fail(results.status());
  const GetResult& result = results->front();
  if (!result.hit) {
    std::fprintf(stderr, "larder: miss: %s\n",
                 std::string(MissReasonName(result.miss_reason)).c_str());
    return result.miss_reason == MissReason::kCorrupt ? kExitWrongBytes : kExitNoMatch;
  }
  const absl::Status written = WriteAll(bytes, result.raw_bytes, options.file);
  return written.ok() ? kExitOk : Fail(written);
}

}  // namespace

void AddGet(CLI::App& app, Session& session) {
  AddCommand<GetCommandOptions>(
      app, session, "get", "Fetch one block into a file; every checksum is verified",
      "  larder get --manifest engine.json HASH block.raw\n"
      "  larder get --manifest engine.json HASH - | sha256sum\n"
      "Exit code 3 on a miss (the reason is on stderr), 4 when the bytes did not verify.\n",
      [](CLI::App& command, GetCommandOptions& options) {
        AddSpaceOptions(command, options.space);
        command.add_option("HASH", options.hash, "Prefix hash in hex")->required();
        command.add_option("FILE", options.file, "Where the raw bytes go; - for stdout")
            ->required();
      },
      RunGet);
}

}  // namespace larder::cli
