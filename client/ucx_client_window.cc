#include "client/ucx_client_window.h"

#include <grpcpp/grpcpp.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "larder/v1/window.grpc.pb.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"

namespace larder {

using transport::UcxEnd;
using transport::UcxPeer;
using transport::UcxWorker;

namespace {

constexpr int kPositionBits = 16;  // of a tag; more than a call's blocks

// As the server does over shared memory; here both sides are this process.
void Tell(ProgressSlot& slot, uint32_t state) {
  slot.state.store(state);
  if (slot.waiters.load() != 0) {
    ::syscall(SYS_futex, &slot.state, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
}

absl::StatusOr<std::string> OpenAtServer(const ClientOptions& options) {
  const auto stub = v1::Windows::NewStub(
      grpc::CreateChannel(options.address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + UcxClientWindow::kConnectTimeout);
  context.AddMetadata("larder-client", options.client_id);
  v1::OpenWindowRequest request;
  request.set_window_bytes(options.window.bytes);
  v1::OpenWindowResponse response;
  const grpc::Status status = stub->OpenWindow(&context, request, &response);
  if (!status.ok()) return FromGrpcStatus(status);
  if (response.window_id().size() != transport::kUcxWindowIdBytes) {
    return Bug("the server's window id has another length");
  }
  return response.window_id();
}

}  // namespace

absl::StatusOr<std::shared_ptr<UcxClientWindow>> UcxClientWindow::Open(
    const ClientOptions& options, const std::string& ucx_address) {
  const uint64_t bytes = options.window.bytes;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return InvalidField("window.bytes", absl::StrCat(bytes),
                        "what this process may map; ask for a smaller window");
  }
  std::shared_ptr<UcxClientWindow> window(
      new UcxClientWindow(static_cast<std::byte*>(memory), bytes));
  if (absl::Status status = window->Connect(options, ucx_address); !status.ok()) return status;
  if (options.window.touch) std::memset(memory, 0, bytes);
  return window;
}

absl::Status UcxClientWindow::Connect(const ClientOptions& options,
                                      const std::string& ucx_address) {
  UcxWorker::Options worker;
  worker.transports = options.ucx_transports;
  auto started = UcxWorker::Start(std::move(worker));
  if (!started.ok()) return started.status();
  worker_ = *std::move(started);
  auto id = OpenAtServer(options);
  if (!id.ok()) return id.status();
  id_ = *std::move(id);
  transport::UcxHello hello;
  std::copy(id_.begin(), id_.end(), hello.window_id.begin());
  const auto connected = std::make_shared<std::promise<absl::StatusOr<std::shared_ptr<UcxPeer>>>>();
  worker_->Connect(
      ucx_address, hello, std::chrono::steady_clock::now() + kConnectTimeout,
      [state = state_] {
        state->alive.store(false, std::memory_order_relaxed);
        state->calls.End();
      },
      [connected](auto peer) { connected->set_value(std::move(peer)); },
      [state = state_](std::string_view text) { return state->calls.OnMessage(text); });
  auto coming = connected->get_future();
  if (coming.wait_for(kConnectTimeout + kEndTimeout) != std::future_status::ready) {
    return Bug("UCX does not say whether a connection came about");
  }
  auto peer = coming.get();
  if (!peer.ok()) return peer.status();
  state_->peer = *std::move(peer);
  return absl::OkStatus();
}

UcxClientWindow::~UcxClientWindow() {
  const auto end = [memory = memory_, bytes = bytes_](std::unique_ptr<UcxWorker> worker) {
    worker.reset();  // ends every transfer
    ::munmap(memory, bytes);
  };
  if (worker_ != nullptr && worker_->IsThisThread()) {
    // The owner of a payload that stood in this window was the last that held it, and UCX the last that held that: its
    // thread can not wait for itself.
    std::thread(end, std::move(worker_)).detach();
  } else {
    end(std::move(worker_));
  }
}

template <typename Change>
void UcxClientWindow::State::Update(uint64_t tag, size_t block, Change change) {
  std::lock_guard lock(mutex);
  const auto call = transfers.find(tag);
  if (call == transfers.end()) return;
  change(call->second.blocks[block]);
  changed.notify_all();
  if (call->second.left && call->second.ended()) transfers.erase(call);
}

void UcxClientWindow::State::Arrived(uint64_t tag, size_t block, uint64_t bytes) {
  Update(tag, block, [bytes](Block& changing) { changing.arrived = bytes; });
}

void UcxClientWindow::State::Ended(uint64_t tag, size_t block) {
  Update(tag, block, [](Block& changing) { changing.ended = true; });
}

uint64_t UcxClientWindow::NewTag(size_t blocks) {
  std::lock_guard lock(state_->mutex);
  const State::Call call{std::vector<State::Block>(blocks)};
  uint64_t tag;
  do {
    tag = ((uint64_t{random_()} << 32) | random_()) << kPositionBits;
  } while (!state_->transfers.try_emplace(tag, call).second);
  return tag;
}

uint64_t UcxClientWindow::BeginGet(std::span<const WindowSpan> spans, std::span<ProgressSlot> slots,
                                   Arrived arrived) {
  const uint64_t tag = NewTag(spans.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    ProgressSlot* const slot = &slots[i];
    const std::span<std::byte> part = memory().subspan(spans[i].offset, spans[i].bytes);
    const auto arrive = [state = state_, tag, slot, arrived, part, i](
                            uint64_t offset, std::span<const std::byte> bytes,
                            uint64_t block_bytes) {
      const uint64_t here = offset + bytes.size();
      if (arrived) {
        arrived(i, bytes, block_bytes);
      } else {
        std::memcpy(part.data() + offset, bytes.data(), bytes.size());
        const auto units = static_cast<uint32_t>(here / ProgressSlot::kUnitBytes);
        slot->frame_bytes.store(block_bytes, std::memory_order_relaxed);
        Tell(*slot, ProgressSlot::kBegun | units);
      }
      state->Arrived(tag, i, here);
    };
    state_->peer->Expect(tag + i, part.size(), arrive, [state = state_, tag, slot, i](UcxEnd) {
      Tell(*slot, slot->state.load() | ProgressSlot::kEnded);
      state->Ended(tag, i);
    });
  }
  return tag;
}

uint64_t UcxClientWindow::BeginPut(std::span<const Payload> payloads) {
  const uint64_t tag = NewTag(payloads.size());
  for (size_t i = 0; i < payloads.size(); ++i) {
    transport::UcxSpans spans;
    std::vector<std::shared_ptr<const void>> owners;  // until UCX is done with the memory
    for (const OutgoingFrame::Piece& piece : payloads[i].pieces) {
      auto* const begin = const_cast<std::byte*>(piece.bytes.data());  // only read
      if (!spans.empty() && spans.back().data() + spans.back().size() == begin) {
        spans.back() = {spans.back().data(), spans.back().size() + piece.bytes.size()};
      } else {
        spans.emplace_back(begin, piece.bytes.size());
      }
      if (owners.empty() || owners.back() != piece.owner) owners.push_back(piece.owner);
    }
    state_->peer->Offer(tag + i, payloads[i].span.offset, std::move(spans),
                        [state = state_, tag, i, owners = std::move(owners)](UcxEnd) mutable {
                          owners.clear();  // first: who sees the end may count on it
                          state->Ended(tag, i);
                        });
  }
  return tag;
}

bool UcxClientWindow::AwaitArrival(uint64_t tag, std::span<const uint64_t> frame_bytes,
                                   std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(state_->mutex);
  const std::vector<State::Block>& blocks = state_->transfers.at(tag).blocks;
  const size_t count = std::min(blocks.size(), frame_bytes.size());
  const auto here = [&](size_t i) { return blocks[i].arrived >= frame_bytes[i]; };
  state_->changed.wait_until(lock, until, [&] {
    for (size_t i = 0; i < count; ++i) {
      if (!here(i) && !blocks[i].ended) return false;
    }
    return true;
  });
  bool arrived = true;
  for (size_t i = 0; i < count; ++i) arrived = arrived && here(i);
  return arrived;
}

bool UcxClientWindow::EndCall(uint64_t tag, bool /*answered*/) {
  std::unique_lock lock(state_->mutex);
  State::Call& call = state_->transfers.at(tag);
  const size_t blocks = call.blocks.size();
  lock.unlock();
  for (size_t i = 0; i < blocks; ++i) state_->peer->Withdraw(tag + i);
  lock.lock();
  const bool ended = state_->changed.wait_for(lock, kEndTimeout, [&] { return call.ended(); });
  call.left = !ended;
  if (ended) state_->transfers.erase(tag);
  return ended;
}

std::unique_ptr<ClientWindow::Turn> UcxClientWindow::TakeTurn() {
  class WorkerTurn final : public Turn {
   public:
    explicit WorkerTurn(UcxWorker& worker) : turn_(worker) {}
    bool taken() const { return turn_.taken(); }
    void Step() override { turn_.Step(); }
    void Until(std::chrono::steady_clock::time_point until,
               const std::function<bool()>& done) override {
      turn_.Until(until, done);
    }
    void LeaveToWaiter() override { turn_.LeaveToNext(); }

   private:
    UcxWorker::Turn turn_;
  };
  auto turn = std::make_unique<WorkerTurn>(*worker_);
  return turn->taken() ? std::move(turn) : nullptr;
}

void UcxClientWindow::Disconnect() {
  state_->alive.store(false, std::memory_order_relaxed);
  state_->calls.End();
  state_->peer->Close();
}

}  // namespace larder
