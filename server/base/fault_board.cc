#include "server/base/fault_board.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/contract/errors.h"

namespace larder::server {
namespace {

enum class Action : uint8_t { kNone, kKill, kError, kDelay, kFlip };
enum class When : uint8_t { kProbability, kNth, kEvery };

constexpr uint32_t kDelayMsMax = 60'000;

// A rule in one word, so that it is replaced in one store.
struct Rule {
  Action action = Action::kNone;
  When when = When::kProbability;
  uint16_t argument = 0;  // errno, or milliseconds
  uint32_t number = 0;    // N, or the probability in units of 2^-32

  uint64_t Pack() const {
    return uint64_t{static_cast<uint8_t>(action)} << 56 |
           uint64_t{static_cast<uint8_t>(when)} << 48 | uint64_t{argument} << 32 | number;
  }
  static Rule Of(uint64_t word) {
    return {static_cast<Action>(word >> 56), static_cast<When>(word >> 48 & 0xFF),
            static_cast<uint16_t>(word >> 32), static_cast<uint32_t>(word)};
  }
};

// SplitMix64's finaliser.
uint64_t Mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
  return word ^ (word >> 31);
}

uint64_t MagicOfPoints() {
  uint64_t magic = kFaultPointCount;
  for (const std::string_view name : kFaultPoints) {
    for (const char letter : name) magic = Mix(magic ^ static_cast<uint8_t>(letter));
    magic = Mix(magic);
  }
  return magic | 1;
}

bool ParseAction(std::string_view text, Rule& rule) {
  rule.action = Action::kError;
  if (text == "kill") return rule.action = Action::kKill, true;
  if (text == "flip") return rule.action = Action::kFlip, true;
  if (text == "eio") return rule.argument = EIO, true;
  if (text == "enospc") return rule.argument = ENOSPC, true;
  if (text == "fail") return rule.argument = EAGAIN, true;
  uint32_t ms = 0;
  if (!text.starts_with("delay:") || !absl::SimpleAtoi(std::string(text.substr(6)), &ms)) {
    return false;
  }
  rule.action = Action::kDelay;
  rule.argument = static_cast<uint16_t>(ms);
  return ms > 0 && ms <= kDelayMsMax;
}

bool ParseWhen(std::string_view text, Rule& rule) {
  double probability = 0;
  for (const auto& [prefix, when] :
       {std::pair<std::string_view, When>{"n", When::kNth}, {"every", When::kEvery}}) {
    if (!text.starts_with(prefix)) continue;
    rule.when = when;
    return absl::SimpleAtoi(std::string(text.substr(prefix.size())), &rule.number) &&
           rule.number > 0;
  }
  if (!absl::SimpleAtod(std::string(text), &probability)) return false;
  rule.number = static_cast<uint32_t>(std::min(probability * 0x1p32, 0x1p32 - 1));
  return probability > 0 && probability <= 1;
}

std::optional<size_t> PointOf(std::string_view name) {
  for (size_t i = 0; i < kFaultPointCount; ++i) {
    if (kFaultPoints[i] == name) return i;
  }
  return std::nullopt;
}

bool Fires(const Rule& rule, uint64_t seed, size_t point, uint64_t count) {
  switch (rule.when) {
    case When::kNth:
      return count == rule.number;
    case When::kEvery:
      return count % rule.number == 0;
    case When::kProbability:
      return static_cast<uint32_t>(Mix(seed + Mix(point + 1) + count * 0x9E3779B97F4A7C15u)) <=
             rule.number;
  }
  return false;
}

std::atomic<FaultBoard*> installed{nullptr};

}  // namespace

absl::StatusOr<std::unique_ptr<FaultBoard>> FaultBoard::Open(const std::string& path) {
  int flags = MAP_SHARED | MAP_ANONYMOUS;
  int file = -1;
  if (!path.empty()) {
    file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ::ftruncate(file, sizeof(Sheet)) != 0) {
      if (file >= 0) ::close(file);
      return InvalidField("fault board", path, "a file that can be written");
    }
    flags = MAP_SHARED;
  }
  void* const memory = ::mmap(nullptr, sizeof(Sheet), PROT_READ | PROT_WRITE, flags, file, 0);
  if (file >= 0) ::close(file);
  if (memory == MAP_FAILED) return InvalidField("fault board", path, "a file that can be mapped");
  auto* const sheet = static_cast<Sheet*>(memory);  // all zero is a valid, empty sheet
  auto board = std::unique_ptr<FaultBoard>(new FaultBoard(sheet));
  uint64_t empty = 0;
  if (!sheet->magic.compare_exchange_strong(empty, MagicOfPoints()) && empty != MagicOfPoints()) {
    return InvalidField("fault board", path, "a board of a build with the same fault points");
  }
  return board;
}

FaultBoard::~FaultBoard() { ::munmap(sheet_, sizeof(Sheet)); }

absl::Status FaultBoard::SetPlan(std::string_view plan) {
  uint64_t seed = 0;
  std::array<uint64_t, kFaultPointCount> rules{};
  const std::vector<std::string> texts = absl::StrSplit(std::string(plan), ';', absl::SkipEmpty());
  for (const std::string& text : texts) {
    const std::vector<std::string> sides = absl::StrSplit(text, absl::MaxSplits('=', 1));
    if (sides.size() == 2 && sides[0] == "seed" && absl::SimpleAtoi(sides[1], &seed)) continue;
    const std::vector<std::string> parts = absl::StrSplit(sides.back(), absl::MaxSplits('@', 1));
    const auto point = PointOf(sides[0]);
    Rule rule;
    if (sides.size() != 2 || parts.size() != 2 || !point || !ParseAction(parts[0], rule) ||
        !ParseWhen(parts[1], rule)) {
      return InvalidField("fault plan", text, "POINT=ACTION@WHEN, as fault_board.h says");
    }
    rules[*point] = rule.Pack();
  }
  sheet_->seed = seed;
  for (size_t i = 0; i < kFaultPointCount; ++i) {
    Cell& cell = sheet_->cells[i];
    cell.rule = 0;
    cell.since_rule = 0;
    cell.rule = rules[i];
  }
  return absl::OkStatus();
}

int FaultBoard::Reach(size_t point, std::span<std::byte> bytes) {
  Cell& cell = sheet_->cells[point];
  cell.reached.fetch_add(1, std::memory_order_relaxed);
  const Rule rule = Rule::Of(cell.rule.load(std::memory_order_relaxed));
  if (rule.action == Action::kNone || (rule.action == Action::kFlip && bytes.empty())) return 0;
  const uint64_t count = cell.since_rule.fetch_add(1, std::memory_order_relaxed) + 1;
  const uint64_t seed = sheet_->seed.load(std::memory_order_relaxed);
  if (!Fires(rule, seed, point, count)) return 0;
  cell.fired.fetch_add(1, std::memory_order_relaxed);
  switch (rule.action) {
    case Action::kKill:
      cell.kills.fetch_add(1, std::memory_order_relaxed);
      ::raise(SIGKILL);
      break;
    case Action::kDelay:
      std::this_thread::sleep_for(std::chrono::milliseconds(rule.argument));
      break;
    case Action::kFlip: {
      const uint64_t bit = Mix(seed ^ Mix(count)) % (bytes.size() * 8);
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      break;
    }
    case Action::kError:
      return rule.argument;
    case Action::kNone:
      break;
  }
  return 0;
}

std::string FaultBoard::Report() const {
  std::string text;
  for (size_t i = 0; i < kFaultPointCount; ++i) {
    if (reached(i) == 0) continue;
    absl::StrAppend(&text, std::string(kFaultPoints[i]), " reached ", reached(i), " fired ",
                    fired(i), "\n");
  }
  return text;
}

void InstallFaultBoard(FaultBoard* board) { installed.store(board); }

#ifdef LARDER_FAULT_POINTS
int FaultAt(FaultPoint point) { return FaultBytes(point, {}); }

int FaultBytes(FaultPoint point, std::span<std::byte> bytes) {
  FaultBoard* const board = installed.load(std::memory_order_relaxed);
  return board == nullptr ? 0 : board->Reach(point.index(), bytes);
}
#endif

}  // namespace larder::server
