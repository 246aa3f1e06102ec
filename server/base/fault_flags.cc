#include "server/base/fault_flags.h"

#include <optional>
#include <string_view>

#include "proto/contract/errors.h"
#include "server/base/fault_board.h"
#include "server/base/planted_bug.h"

namespace larder::server {
namespace {

// The value of `flag` at argv[*i], as "--flag VALUE" or "--flag=VALUE"; moves *i to the last word used.
std::optional<std::string> ValueOf(std::string_view flag, int argc, char** argv, int* i) {
  const std::string_view word = argv[*i];
  if (!word.starts_with(flag)) return std::nullopt;
  if (word.size() > flag.size() && word[flag.size()] == '=') {
    return std::string(word.substr(flag.size() + 1));
  }
  if (word.size() > flag.size() || *i + 1 >= argc) return std::nullopt;
  return argv[++*i];
}

}  // namespace

absl::StatusOr<OtherFlags> TakeFaultFlags(int argc, char** argv) {
  OtherFlags others;
  std::string board_path;
  std::optional<std::string> plan;
  for (int i = 0; i < argc; ++i) {
    if (const auto text = ValueOf("--fault-plan", argc, argv, &i)) {
      plan = text;
    } else if (const auto path = ValueOf("--fault-board", argc, argv, &i)) {
      board_path = *path;
    } else if (const auto bug = ValueOf("--planted-bug", argc, argv, &i)) {
      if (!PlantBug(*bug)) return InvalidField("--planted-bug", *bug, "a name of kPlantedBugs");
    } else if (std::string_view(argv[i]) == "--hbm-fake") {
      others.hbm_fake = true;
    } else {
      others.arguments.push_back(argv[i]);
    }
  }
  auto board = FaultBoard::Open(board_path);
  if (!board.ok()) return board.status();
  if (plan) {
    if (const absl::Status status = (*board)->SetPlan(*plan); !status.ok()) return status;
  }
  InstallFaultBoard(board->release());  // lives as long as the process
  return others;
}

}  // namespace larder::server
