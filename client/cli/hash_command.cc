#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/hash_tokens.h"
#include "client/cli/json_file.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

struct HashCommandOptions {
  HashTokensOptions hash;
  std::vector<std::string> tokens;
  std::string tokens_file;
  bool low_bits = false;
  bool json = false;
};

absl::StatusOr<std::string> TokenText(const HashCommandOptions& options) {
  if (options.tokens_file.empty() && !options.tokens.empty()) {
    std::string text;
    for (const std::string& token : options.tokens) text += token + " ";
    return text;
  }
  if (options.tokens_file.empty() || options.tokens_file == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), {});
  }
  std::ifstream file(options.tokens_file);
  if (!file) return NotFound("tokens file", options.tokens_file);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int RunHash(const Session&, const HashCommandOptions& options) {
  const auto text = TokenText(options);
  if (!text.ok()) return Fail(text.status());
  const auto tokens = ParseTokenIds(*text);
  if (!tokens.ok()) return Fail(tokens.status());
  const auto hashes = HashTokens(*tokens, options.hash);
  if (!hashes.ok()) return Fail(hashes.status());
  if (options.json) {
    nlohmann::ordered_json blocks = nlohmann::ordered_json::array();
    for (const PrefixHash& hash : *hashes) {
      blocks.push_back({{"hash", hash.ToHex()}, {"low_bits", LowBits(hash)}});
    }
    const absl::Status written = WriteJson({{"scheme", options.hash.scheme},
                                            {"block_tokens", options.hash.block_tokens},
                                            {"tokens", tokens->size()},
                                            {"blocks", blocks}},
                                           "-");
    return written.ok() ? kExitOk : Fail(written);
  }
  for (const PrefixHash& hash : *hashes) {
    if (options.low_bits) {
      std::printf("%s %llu\n", hash.ToHex().c_str(),
                  static_cast<unsigned long long>(LowBits(hash)));
    } else {
      std::puts(hash.ToHex().c_str());
    }
  }
  if (hashes->empty()) {
    std::fprintf(stderr, "larder: %zu tokens are less than one block of %u; no hash\n",
                 tokens->size(), options.hash.block_tokens);
  }
  return kExitOk;
}

}  // namespace

void AddHash(CLI::App& app, Session& session) {
  AddCommand<HashCommandOptions>(
      app, session, "hash", "Compute prefix hashes, to check that engines agree; needs no server",
      "  larder hash --block-tokens 16 $(seq 0 63)\n"
      "  larder hash --scheme vllm --seed 0 --salt tenant-a --low-bits $(seq 0 15)\n"
      "  larder hash --scheme sglang --block-tokens 64 --tokens-file prompt.json --json\n"
      "One line per full block, first block first; a partial block has no hash.\n",
      [](CLI::App& command, HashCommandOptions& options) {
        command.add_option("TOKEN", options.tokens, "Token ids; none: read stdin");
        command.add_option("--tokens-file", options.tokens_file,
                           "Ids separated by blanks or commas, or a JSON array; - for stdin");
        command.add_option("--scheme", options.hash.scheme, "native, vllm or sglang")
            ->capture_default_str();
        command.add_option("--block-tokens", options.hash.block_tokens, "Tokens per block")
            ->capture_default_str();
        command.add_option("--seed", options.hash.seed, "vllm: the engines' PYTHONHASHSEED");
        command.add_option("--salt", options.hash.salt, "native, vllm: cache salt");
        command.add_flag("--low-bits", options.low_bits,
                         "Also the low 64 bits, as some event streams carry them");
        command.add_flag("--json", options.json, "JSON on stdout");
      },
      RunHash);
}

}  // namespace larder::cli
