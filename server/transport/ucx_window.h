// A window over a UCX connection: the server pushes blocks to what the client expects and pulls what it offers
// (transport/FORMAT.md). The window's memory is the client's affair: offsets and sizes only say how much of it a
// call may name, and what lies where the client decides when the bytes come.
//
// It is bound to its connection once, when the client's hello names it; before that, and after the connection's
// end, transfers end with kPeerGone. Thread-safe.
#pragma once

#include <memory>

#include "absl/base/thread_annotations.h"
#include "server/base/mutex.h"
#include "server/transport/window.h"
#include "transport/ucx_peer.h"

namespace larder::server {

class UcxWindow final : public Window {
 public:
  // Blocks of one call that are under way: enough to hide a round trip per block of 64 KiB.
  static constexpr int kTransfersMax = 8;

  explicit UcxWindow(uint64_t bytes) : bytes_(bytes) {}

  // False when it is bound already, or closed.
  bool Bind(std::shared_ptr<transport::UcxPeer> peer);

  PlaneKind plane() const override { return PlaneKind::kUcx; }
  uint64_t bytes() const override { return bytes_; }
  int transfers_max() const override { return kTransfersMax; }
  // Bytes come from afar: no step shortens that.
  uint64_t step_bytes() const override { return UINT64_MAX; }
  void Write(const Transfer& transfer, const ByteSpans& source, TransferDone done) override;
  void Read(const Transfer& transfer, const ByteSpans& target, TransferDone done) override;
  void Skip(const Transfer&) override {}
  void Close() override;

 private:
  std::shared_ptr<transport::UcxPeer> peer() const {
    MutexLock lock(mutex_);
    return peer_;
  }

  const uint64_t bytes_;
  mutable Mutex mutex_;
  std::shared_ptr<transport::UcxPeer> peer_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace larder::server
