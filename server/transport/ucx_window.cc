#include "server/transport/ucx_window.h"

#include <utility>

namespace larder::server {
namespace {

transport::UcxSpans SpansOf(const ByteSpans& spans) { return {spans.begin(), spans.end()}; }

transport::UcxPeer::Done Translate(TransferDone done) {
  return [done = std::move(done)](transport::UcxEnd end) {
    switch (end) {
      case transport::UcxEnd::kDone:
        return done(TransferEnd::kDone);
      case transport::UcxEnd::kOverDeadline:
        return done(TransferEnd::kOverDeadline);
      case transport::UcxEnd::kPeerGone:
        return done(TransferEnd::kPeerGone);
      case transport::UcxEnd::kFailed:
        return done(TransferEnd::kFailed);
    }
  };
}

}  // namespace

bool UcxWindow::Bind(std::shared_ptr<transport::UcxPeer> peer) {
  MutexLock lock(mutex_);
  if (peer_ != nullptr || closed_) return false;
  peer_ = std::move(peer);
  return true;
}

void UcxWindow::Write(const Transfer& transfer, const ByteSpans& source, TransferDone done) {
  const auto connection = peer();
  if (connection == nullptr) return done(TransferEnd::kPeerGone);
  connection->Push(transfer.tag, SpansOf(source), transfer.deadline, Translate(std::move(done)));
}

void UcxWindow::Read(const Transfer& transfer, const ByteSpans& target, TransferDone done) {
  const auto connection = peer();
  if (connection == nullptr) return done(TransferEnd::kPeerGone);
  connection->Pull(transfer.tag, transfer.offset, SpansOf(target), transfer.deadline,
                   transfer.landed, Translate(std::move(done)));
}

void UcxWindow::Close() {
  std::shared_ptr<transport::UcxPeer> connection;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    connection = peer_;
  }
  if (connection != nullptr) connection->Close();
}

}  // namespace larder::server
