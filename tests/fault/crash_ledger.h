// What the crash harness knows, independently of the server: which versions of a block were offered, which
// of them a server refused for certain, and which blocks must be there. It lives in the harness, which
// is never killed.
//
// A version may be returned from the moment it is offered until every offer of it has been refused; what
// became of an offer whose answer was lost is unknown, so it stays possible for ever. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "proto/contract/outcomes.h"
#include "tests/fault/crash_blocks.h"

namespace larder::testing {

// Every broken promise, with the history of the block it is about. The run has failed from the first on.
class Violations {
 public:
  void Report(const std::string& text);
  uint64_t count() const { return count_.load(); }
  // The first one's text up to its history, and nothing on stderr.
  void KeepQuiet() { quiet_ = true; }
  std::string first();

 private:
  bool quiet_ = false;
  std::mutex mutex_;
  std::string first_;
  std::atomic<uint64_t> count_{0};
};

class CrashLedger {
 public:
  explicit CrashLedger(Violations& violations) : violations_(violations) {}

  // Before a put. Starts a new life of the server with each cycle, for the history.
  void Offer(const BlockName& name, uint32_t version);
  // Its outcome; kUnspecified when the call failed and nobody knows. Reports an outcome that can not be
  // true.
  void Settle(const BlockName& name, uint32_t version, PutOutcome outcome);

  // Versions that a get may return now, most recently offered first.
  std::vector<uint32_t> Possible(const BlockName& name);

  void NextLife() { ++life_; }
  uint32_t life() const { return life_.load(); }
  // The last events of a block, for a report.
  std::string History(const BlockName& name);
  void Note(const BlockName& name, const char* event, uint32_t version = 0);

 private:
  struct Version {
    uint32_t number = 0;
    uint32_t possible = 0;  // offers that were not refused
  };
  struct Event {
    const char* what;
    uint32_t version;
    uint32_t life;
  };
  struct Block {
    std::vector<Version> versions;  // in order of their first offer
    std::vector<Event> events;
  };
  void NoteLocked(Block& block, const char* event, uint32_t version);

  Violations& violations_;
  std::atomic<uint32_t> life_{0};
  std::mutex mutex_;
  std::map<BlockName, Block> blocks_;
};

}  // namespace larder::testing
