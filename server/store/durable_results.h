// The results of one put, until the blocks that are to be durable are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "proto/contract/outcomes.h"
#include "server/base/mutex.h"

namespace larder::server {

struct IngestResult {
  PutOutcome outcome = PutOutcome::kIncomplete;
  std::string message;
  uint64_t frame_bytes = 0;  // as stored
  bool durable = false;      // it and its ancestors survive kill -9
};

// Thread-safe. Shared by the put's session and by the callbacks of its blocks, which may outlive it.
class DurableResults {
 public:
  using Done = std::function<void(std::vector<IngestResult>)>;

  // One more block is under way; Ended() will say how it went.
  void Expect();
  void Ended(uint32_t index, const absl::Status& status);
  // All blocks have been expected. `done` is called once: now, or by the last Ended().
  void Finish(std::vector<IngestResult> results, Done done);

 private:
  void EndOne();

  Mutex mutex_;
  size_t pending_ ABSL_GUARDED_BY(mutex_) = 1;  // blocks under way, and the session until Finish
  std::vector<std::pair<uint32_t, absl::Status>> ended_ ABSL_GUARDED_BY(mutex_);
  std::vector<IngestResult> results_ ABSL_GUARDED_BY(mutex_);
  Done done_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
