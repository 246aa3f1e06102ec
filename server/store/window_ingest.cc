#include "server/store/window_ingest.h"

#include <algorithm>

namespace larder::server {

std::shared_ptr<WindowIngest> WindowIngest::Create(const WindowParts& parts,
                                                   std::shared_ptr<Window> window,
                                                   std::unique_ptr<IngestSession> session,
                                                   Request request) {
  return std::shared_ptr<WindowIngest>(
      new WindowIngest(parts, std::move(window), std::move(session), std::move(request)));
}

void WindowIngest::Start(Done done) {
  done_ = std::move(done);
  uint64_t bytes = 0;
  for (const Block& block : request_.blocks) {
    bytes += std::min(block.payload_bytes, WindowFetch::kAtOnceBytes + 1);
  }
  turns_.Wake();
  if (bytes <= WindowFetch::kAtOnceBytes) {
    Run();
  } else {
    parts_.pool.Post([self = shared_from_this()] { self->Run(); });
  }
}

void WindowIngest::Run() {
  const auto self = shared_from_this();
  if (!turns_.Run([this] { return Work(); })) {
    parts_.pool.Post([self] { self->Run(); });
  }
}

bool WindowIngest::Work() {
  while (!finished_) {
    if (reading_ > 0) {
      {
        MutexLock lock(mutex_);
        if (!ended_) return true;  // its end wakes us
      }
      if (absl::Status status = TakeIn(); !status.ok()) {
        Finish(std::move(status));
        return true;
      }
    }
    const bool whole = session_->missing() == 0;
    if (stopped_ || cancelled_.load(std::memory_order_relaxed) ||
        (whole && begun_ == request_.blocks.size())) {
      Finish(absl::OkStatus());
      return true;
    }
    if (absl::Status status = whole ? BeginNext() : GoOn(); !status.ok()) {
      Finish(std::move(status));
      return true;
    }
    if (whole && begun_ > 1 && parts_.pool.contended()) return false;
  }
  return true;
}

absl::Status WindowIngest::BeginNext() {
  const Block& block = request_.blocks[begun_];
  const auto index = static_cast<uint32_t>(begun_++);
  payload_read_ = 0;
  absl::Status status =
      session_->Begin(index, block.frame_header.size() + block.payload_bytes, block.retention);
  if (status.ok()) status = session_->Write(index, block.frame_header);
  return status;
}

absl::Status WindowIngest::GoOn() {
  const ByteSpans landing = session_->Landing(window_->step_bytes());
  if (landing.empty()) {
    return session_->Skip(static_cast<uint32_t>(begun_ - 1), session_->missing());
  }
  Read(landing);
  return absl::OkStatus();
}

void WindowIngest::Read(const ByteSpans& landing) {
  const Block& block = request_.blocks[begun_ - 1];
  Transfer transfer;
  transfer.offset = block.payload_offset + payload_read_;
  transfer.tag = request_.tag + begun_ - 1;
  transfer.deadline = request_.deadline;
  for (const auto span : landing) reading_ += span.size();
  window_->Read(transfer, landing, [self = shared_from_this()](TransferEnd end) {
    {
      MutexLock lock(self->mutex_);
      self->ended_ = end;
    }
    if (self->turns_.Wake()) self->parts_.pool.Post([self] { self->Run(); });
  });
}

absl::Status WindowIngest::TakeIn() {
  TransferEnd end;
  {
    MutexLock lock(mutex_);
    end = *ended_;
    ended_.reset();
  }
  const uint64_t bytes = std::exchange(reading_, 0);
  payload_read_ += bytes;
  const bool block_ends =
      end != TransferEnd::kDone || payload_read_ == request_.blocks[begun_ - 1].payload_bytes;
  if (block_ends) {
    if (request_.on_progress) request_.on_progress();
    parts_.metrics.CountTransfer(window_->plane(), end,
                                 end == TransferEnd::kDone ? payload_read_ : 0);
  }
  stopped_ = end != TransferEnd::kDone;
  return stopped_ ? absl::OkStatus() : session_->Landed(static_cast<uint32_t>(begun_ - 1), bytes);
}

void WindowIngest::Finish(absl::Status status) {
  finished_ = true;
  if (!status.ok()) {
    std::exchange(done_, nullptr)(std::move(status), {});
    return;
  }
  session_->Finish([self = shared_from_this()](std::vector<IngestResult> results) {
    std::exchange(self->done_, nullptr)(absl::OkStatus(), std::move(results));
  });
}

}  // namespace larder::server
