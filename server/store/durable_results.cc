#include "server/store/durable_results.h"

#include "absl/strings/str_cat.h"

namespace larder::server {

void DurableResults::Expect() {
  MutexLock lock(mutex_);
  ++pending_;
}

void DurableResults::Ended(uint32_t index, const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    ended_.emplace_back(index, status);
  }
  EndOne();
}

void DurableResults::Finish(std::vector<IngestResult> results, Done done) {
  {
    MutexLock lock(mutex_);
    results_ = std::move(results);
    done_ = std::move(done);
  }
  EndOne();
}

void DurableResults::EndOne() {
  Done answer;
  std::vector<IngestResult> all;
  {
    MutexLock lock(mutex_);
    if (--pending_ > 0) return;
    for (const auto& [index, status] : ended_) {
      results_[index].durable = status.ok();
      if (status.ok()) continue;
      results_[index].message =
          absl::StrCat("stored in memory, but not durable: ", status.message());
    }
    answer = std::move(done_);
    all = std::move(results_);
  }
  answer(std::move(all));
}

}  // namespace larder::server
