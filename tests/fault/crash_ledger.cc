#include "tests/fault/crash_ledger.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

namespace larder::testing {
namespace {

constexpr size_t kEventsKept = 24;
constexpr uint64_t kReportsMax = 10;

}  // namespace

void Violations::Report(const std::string& text) {
  std::lock_guard lock(mutex_);
  if (count_ == 0) first_ = text.substr(0, text.find(';'));
  if (++count_ <= kReportsMax && !quiet_) std::fprintf(stderr, "VIOLATION: %s\n", text.c_str());
}

std::string Violations::first() {
  std::lock_guard lock(mutex_);
  return first_;
}

void CrashLedger::NoteLocked(Block& block, const char* event, uint32_t version) {
  if (block.events.size() == kEventsKept) block.events.erase(block.events.begin());
  block.events.push_back({event, version, life_.load()});
}

void CrashLedger::Note(const BlockName& name, const char* event, uint32_t version) {
  std::lock_guard lock(mutex_);
  NoteLocked(blocks_[name], event, version);
}

void CrashLedger::Offer(const BlockName& name, uint32_t version) {
  std::lock_guard lock(mutex_);
  Block& block = blocks_[name];
  NoteLocked(block, "offered", version);
  const auto known = std::find_if(block.versions.begin(), block.versions.end(),
                                  [&](const Version& row) { return row.number == version; });
  if (known == block.versions.end()) {
    block.versions.push_back({version, 1});
  } else {
    ++known->possible;
  }
}

void CrashLedger::Settle(const BlockName& name, uint32_t version, PutOutcome outcome) {
  std::string wrong;
  {
    std::lock_guard lock(mutex_);
    Block& block = blocks_[name];
    NoteLocked(block, PutOutcomeName(outcome).data(), version);
    uint32_t others = 0;
    Version* own = nullptr;
    for (Version& row : block.versions) {
      if (row.number == version) own = &row;
      if (row.number != version) others += row.possible;
    }
    switch (outcome) {
      case PutOutcome::kUnspecified:  // nobody knows
      case PutOutcome::kStored:
        return;
      case PutOutcome::kAlreadyPresent:
        if (own->possible < 2) wrong = "'already_present' for bytes that were never offered before";
        break;
      case PutOutcome::kConflict:
        if (others == 0) wrong = "'conflict' for a block that has no other bytes";
        break;
      case PutOutcome::kNoRoom:
      case PutOutcome::kParentAbsent:
        break;
      default:
        wrong = "an outcome that no put of ours can have";
    }
    --own->possible;  // this offer stored nothing
  }
  if (wrong.empty()) return;
  violations_.Report(wrong + " (" + std::string(PutOutcomeName(outcome)) + "), version " +
                     std::to_string(version) + " of " + Text(name) + "; " + History(name));
}

std::vector<uint32_t> CrashLedger::Possible(const BlockName& name) {
  std::lock_guard lock(mutex_);
  std::vector<uint32_t> possible;
  const auto found = blocks_.find(name);
  if (found == blocks_.end()) return possible;
  for (const Version& row : found->second.versions) {
    if (row.possible > 0) possible.push_back(row.number);
  }
  std::reverse(possible.begin(), possible.end());
  return possible;
}

std::string CrashLedger::History(const BlockName& name) {
  std::lock_guard lock(mutex_);
  std::string text = "history:";
  for (const Event& event : blocks_[name].events) {
    text += " [life " + std::to_string(event.life) + "] " + event.what + " v" +
            std::to_string(event.version);
  }
  return text;
}

}  // namespace larder::testing
