#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/quantity.h"
#include "client/cli/trace.h"
#include "client/cli/trace_generator.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

struct GenerateOptions {
  TraceGeneratorOptions generator;
  std::string out;
};

int RunGenerate(const Session&, const GenerateOptions& options) {
  const std::vector<TraceRequest> requests = GenerateTrace(options.generator);
  std::ofstream file;
  if (options.out != "-") file.open(options.out);
  std::ostream& out = options.out == "-" ? std::cout : file;
  WriteTrace(requests, out);
  out.flush();
  if (!out) {
    return Fail(InvalidField("--out", options.out, "a file that can be written, or - for stdout"));
  }
  const TraceFacts facts = FactsOf(requests);
  std::fprintf(stderr, "%s requests, %s blocks, %s unique, ideal block hit rate %s\n",
               FormatCount(facts.requests).c_str(), FormatCount(facts.blocks).c_str(),
               FormatCount(facts.unique_blocks).c_str(),
               FormatPercent(facts.ideal_hit_blocks, facts.blocks).c_str());
  return kExitOk;
}

}  // namespace

void AddTrace(CLI::App& app, Session& session) {
  CLI::App* trace = app.add_subcommand("trace", "Make request traces; needs no server");
  trace->require_subcommand(1);
  AddCommand<GenerateOptions>(
      *trace, session, "generate",
      "Write a synthetic trace in the Mooncake format: multi-turn chats over shared system "
      "prompts. Equal options give an equal file. The model is described in trace_generator.h; "
      "its hit rate is that of the model, not of any service.",
      "  larder trace generate --out trace.jsonl\n"
      "  larder trace generate --requests 10000 --turns-mean 6 --seed 7 --out - | head\n",
      [](CLI::App& command, GenerateOptions& options) {
        TraceGeneratorOptions& generator = options.generator;
        command.add_option("--out", options.out, "JSON Lines file; - for stdout")->required();
        command.add_option("--requests", generator.requests, "Requests")
            ->capture_default_str()
            ->check(CLI::Range(1u, 10'000'000u));
        command.add_option("--seed", generator.seed, "Seed")->capture_default_str();
        command.add_option("--system-prompts", generator.system_prompts, "Shared system prompts")
            ->capture_default_str()
            ->check(CLI::Range(1u, 100'000u));
        command.add_option("--turns-mean", generator.turns_mean, "Mean turns of a conversation")
            ->capture_default_str()
            ->check(CLI::Range(1.0, 1000.0));
        command
            .add_option("--requests-per-second", generator.requests_per_second,
                        "Mean rate once the chats are under way")
            ->capture_default_str()
            ->check(CLI::Range(0.001, 1e6));
      },
      RunGenerate);
}

}  // namespace larder::cli
