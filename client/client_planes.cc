// The part of Client that chooses between planes.
#include <algorithm>
#include <utility>

#include "client/call_waiter.h"
#include "client/client_impl.h"
#include "client/device_put.h"
#include "client/window_get.h"
#include "client/window_put.h"
#include "proto/contract/errors.h"

namespace larder {

std::optional<OpenWindow> Client::Impl::WindowOrInline(SystemTime deadline,
                                                       const Channel::Report& report) {
  Plane& plane = channel_->plane();
  OpenWindow open = plane.Current();
  if (open) return open;
  if (plane.WantsNegotiation()) Renegotiate(deadline);
  if (!plane.insists()) {
    plane.CountCall(false);
    return OpenWindow{};
  }
  report(ServerUnreachable(channel_->options().address, "its window is being opened again"));
  return std::nullopt;
}

// Asks the server anew what it offers, in the background.
void Client::Impl::Renegotiate(SystemTime deadline) {
  CallUnary<v1::CapabilitiesResponse>(
      channel_, deadline, v1::CapabilitiesRequest(),
      [stub = channel_->cache().async()](auto... arguments) { stub->Capabilities(arguments...); },
      [self = shared_from_this()](absl::StatusOr<v1::CapabilitiesResponse> capabilities) {
        Plane& plane = self->channel_->plane();
        if (capabilities.ok()) {
          plane.Negotiate(*capabilities).IgnoreError();  // its status() has the reason
        } else {
          plane.GiveUp();
        }
      });
}

void Client::Impl::StartGet(std::shared_ptr<GetWork> work, SystemTime deadline,
                            Channel::Report report) {
  const auto open = WindowOrInline(deadline, report);
  if (!open) return;
  if (*open) {
    StartWindowGet(channel_, *open, std::move(work), deadline, std::move(report));
  } else if (work->prefix) {
    work->prefix_without_room = true;
    work->pending.clear();
    report(absl::OkStatus());
  } else {
    larder::StartGet(channel_, std::move(work), deadline, std::move(report));
  }
}

void Client::Impl::StartPut(std::shared_ptr<PutWork> work, SystemTime deadline,
                            Channel::Report report) {
  const auto open = WindowOrInline(deadline, report);
  if (!open) return;
  if (*open) {
    StartWindowPut(channel_, *open, std::move(work), deadline, std::move(report));
  } else {
    larder::StartPut(channel_, std::move(work), deadline, std::move(report));
  }
}

std::shared_ptr<GetWork> Client::Impl::BeginGet(const Space& space,
                                                std::span<const GetBlock> blocks,
                                                const GetOptions& options) {
  auto work = GetWorkOf(space, blocks, options);
  work->device = DeviceGet::Take(channel_->device_calls(), work->blocks);
  return work;
}

absl::StatusOr<std::shared_ptr<PutWork>> Client::Impl::BeginPut(const Space& space,
                                                                std::span<const PutBlock> blocks,
                                                                const PutOptions& options,
                                                                SystemTime deadline) {
  auto work = PutWorkOf(space, blocks, options);
  if (absl::Status status = BringFromDevice(channel_->device_calls(), channel_->plane(), space,
                                            work->blocks, deadline);
      !status.ok()) {
    return status;
  }
  return work;
}

void Client::Impl::RunGet(std::shared_ptr<GetWork> work, SystemTime deadline,
                          Channel::Report done) {
  const auto self = shared_from_this();
  const Channel::Attempt attempt = [self, work, deadline](Channel::Report report) {
    self->StartGet(work, deadline, std::move(report));
  };
  RunRegistered(work->space.id, deadline, attempt,
                [self, work, attempt, deadline, done = std::move(done)](absl::Status status) {
                  if (!status.ok() || work->pending.empty()) {
                    done(std::move(status));
                    return;
                  }
                  work->verify_at_server = true;
                  self->channel_->Run(deadline, attempt, done);
                });
}

void Client::Impl::RunPut(std::shared_ptr<PutWork> work, SystemTime deadline,
                          Channel::Report done) {
  RunRegistered(
      work->space.id, deadline,
      [self = shared_from_this(), work, deadline](Channel::Report report) {
        self->StartPut(work, deadline, std::move(report));
      },
      std::move(done));
}

namespace {

// Runs a call, and does its work on this thread while it waits.
template <typename Work, typename Run>
absl::Status RunWaiting(const std::shared_ptr<Work>& work, Run run) {
  const auto waiter = std::make_shared<CallWaiter>();
  const auto result = std::make_shared<absl::Status>();
  work->waiter = waiter;
  run([waiter, result](absl::Status status) {
    *result = std::move(status);
    waiter->End();
  });
  waiter->WorkUntilEnd();
  return *result;
}

}  // namespace

absl::Status Client::Impl::GetNow(const std::shared_ptr<GetWork>& work, SystemTime deadline) {
  const absl::Status status =
      RunWaiting(work, [&](Channel::Report done) { RunGet(work, deadline, std::move(done)); });
  if (work->device == nullptr) return status;
  absl::Status ended = work->device->End(work->results, work->options, deadline);
  return status.ok() ? ended : status;
}

absl::StatusOr<std::vector<GetResult>> Client::Get(const Space& space,
                                                   std::span<const GetBlock> blocks,
                                                   const GetOptions& options) {
  if (absl::Status status = CheckGet(space, blocks, impl_->channel()->device_calls()); !status.ok())
    return status;
  const auto work = impl_->BeginGet(space, blocks, options);
  if (absl::Status status = impl_->GetNow(work, DeadlineOf(options)); !status.ok()) return status;
  return std::move(work->results);
}

absl::StatusOr<std::vector<PutResult>> Client::Put(const Space& space,
                                                   std::span<const PutBlock> blocks,
                                                   const PutOptions& options) {
  if (absl::Status status = CheckPut(space, blocks, options, impl_->channel()->device_calls());
      !status.ok())
    return status;
  const SystemTime deadline = DeadlineOf(options);
  const auto begun = impl_->BeginPut(space, blocks, options, deadline);
  if (!begun.ok()) return begun.status();
  const std::shared_ptr<PutWork>& work = *begun;
  const absl::Status status = RunWaiting(
      work, [&](Channel::Report done) { impl_->RunPut(work, deadline, std::move(done)); });
  if (!status.ok()) return status;
  return std::move(work->results);
}

namespace {

Milliseconds LeftUntil(SystemTime deadline) {
  const auto left = std::chrono::ceil<Milliseconds>(deadline - std::chrono::system_clock::now());
  return std::max(left, Milliseconds(0));
}

}  // namespace

absl::StatusOr<PrefixResult> Client::GetPrefix(const Space& space, std::span<const GetBlock> blocks,
                                               const PrefixOptions& options) {
  if (absl::Status status = CheckGet(space, blocks, impl_->channel()->device_calls()); !status.ok())
    return status;
  const auto work = impl_->BeginGet(space, blocks, options);
  work->prefix = true;
  work->lease_ttl = options.lease_ttl;
  const SystemTime deadline = DeadlineOf(options);
  if (absl::Status status = impl_->GetNow(work, deadline); !status.ok()) return status;
  PrefixResult result;
  result.lease_id = work->lease_id;
  if (work->prefix_without_room) {
    std::vector<PrefixHash> hashes;
    for (const GetBlock& block : blocks) hashes.push_back(block.hash);
    LookupOptions lookup;
    lookup.timeout = LeftUntil(deadline);
    lookup.fidelity_min = options.fidelity_min;
    lookup.lease_ttl = options.lease_ttl;
    const auto found = Lookup(space, hashes, lookup);
    if (!found.ok()) return found.status();
    result.lease_id = found->lease_id;
    result.miss_reason = found->miss_reason;
    if (found->blocks.empty()) return result;
    GetOptions get = options;
    get.lease_id = found->lease_id;
    get.timeout = LeftUntil(deadline);
    auto blocks_got = Get(space, blocks.first(found->blocks.size()), get);
    if (!blocks_got.ok()) return blocks_got.status();
    result.blocks = *std::move(blocks_got);
  } else {
    result.blocks = std::move(work->results);
  }
  const auto miss = std::find_if(result.blocks.begin(), result.blocks.end(),
                                 [](const GetResult& block) { return !block.hit; });
  if (miss != result.blocks.end()) result.miss_reason = miss->miss_reason;
  result.blocks.erase(miss, result.blocks.end());
  return result;
}

std::shared_ptr<std::byte> Client::AllocateBlock(uint64_t bytes) {
  return impl_->channel()->plane().Allocate(bytes);
}

PlaneStatus Client::plane() const { return impl_->channel()->plane().status(); }

}  // namespace larder
