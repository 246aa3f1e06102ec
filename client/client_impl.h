// What a Client is made of. Internal to the client library.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "client/channel.h"
#include "client/client.h"
#include "client/get_call.h"
#include "client/put_call.h"
#include "client/unary_call.h"
#include "larder/v1/cache.pb.h"

namespace larder {

// The channel, and the manifests that were registered through it, so that a restarted server can be
// told again.
class Client::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(const ClientOptions& options) : channel_(std::make_shared<Channel>(options)) {}

  const std::shared_ptr<Channel>& channel() const { return channel_; }

  // One attempt over the plane of the moment.
  void StartGet(std::shared_ptr<GetWork> work, SystemTime deadline, Channel::Report report);
  void StartPut(std::shared_ptr<PutWork> work, SystemTime deadline, Channel::Report report);
  // What an attempt works on.
  std::shared_ptr<GetWork> BeginGet(const Space& space, std::span<const GetBlock> blocks,
                                    const GetOptions& options);
  // A get from beginning to end, with what it leaves to do on a device; waits for it and does its work on this thread.
  absl::Status GetNow(const std::shared_ptr<GetWork>& work, SystemTime deadline);
  // The blocks are on the host then.
  absl::StatusOr<std::shared_ptr<PutWork>> BeginPut(const Space& space,
                                                    std::span<const PutBlock> blocks,
                                                    const PutOptions& options, SystemTime deadline);
  // A get with all its rounds; `done` gets Ok when work->results are filled.
  void RunGet(std::shared_ptr<GetWork> work, SystemTime deadline, Channel::Report done);
  // The same for a put.
  void RunPut(std::shared_ptr<PutWork> work, SystemTime deadline, Channel::Report done);

  void Remember(SpaceId space, const v1::RegisterManifestRequest& registration) {
    std::lock_guard lock(mutex_);
    registrations_[space] = registration;
  }

  // Runs `attempt`; when the server does not know the space (any failed precondition: it may have
  // restarted), registers its manifest again and tries once more.
  void RunRegistered(SpaceId space, SystemTime deadline, Channel::Attempt attempt,
                     Channel::Report done) {
    const auto self = shared_from_this();
    channel_->Run(deadline, attempt, [self, space, deadline, attempt, done](absl::Status status) {
      const auto registration = self->RegistrationOf(space);
      if (status.code() != absl::StatusCode::kFailedPrecondition || !registration) {
        done(std::move(status));
        return;
      }
      self->RegisterAgain(*registration, deadline,
                          [self, deadline, attempt, done](absl::Status registered) {
                            if (!registered.ok()) {
                              done(std::move(registered));
                            } else {
                              self->channel_->Run(deadline, attempt, done);
                            }
                          });
    });
  }

 private:
  // The window, or how to do without; nullopt: `report` was called, the call is to be tried again.
  std::optional<OpenWindow> WindowOrInline(SystemTime deadline, const Channel::Report& report);
  void Renegotiate(SystemTime deadline);
  std::optional<v1::RegisterManifestRequest> RegistrationOf(SpaceId space) {
    std::lock_guard lock(mutex_);
    const auto found = registrations_.find(space);
    if (found == registrations_.end()) return std::nullopt;
    return found->second;
  }

  void RegisterAgain(const v1::RegisterManifestRequest& registration, SystemTime deadline,
                     Channel::Report done) {
    CallUnary<v1::RegisterManifestResponse>(
        channel_, deadline, registration,
        [stub = channel_->cache().async()](auto... arguments) {
          stub->RegisterManifest(arguments...);
        },
        [done = std::move(done)](auto response) { done(response.status()); });
  }

  const std::shared_ptr<Channel> channel_;
  std::mutex mutex_;
  std::map<SpaceId, v1::RegisterManifestRequest> registrations_;  // one per space this process uses
};

}  // namespace larder
