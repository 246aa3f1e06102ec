// One connection to one server, and how calls run on it: deadline, client id, retry. Internal to
// the client library.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "client/channel_time.h"
#include "client/client.h"
#include "client/device_calls.h"
#include "client/plane.h"
#include "client/retry.h"
#include "kernels/codec/coder_pool.h"
#include "larder/v1/admin.grpc.pb.h"
#include "larder/v1/cache.grpc.pb.h"
#include "larder/v1/window.grpc.pb.h"

namespace larder {

// Thread-safe. Shared by the client and its calls: destroyed with the last of them.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  explicit Channel(const ClientOptions& options);

  v1::Cache::Stub& cache() { return *cache_; }
  v1::Admin::Stub& admin() { return *admin_; }
  v1::Windows::Stub& windows() { return *windows_; }
  grpc::GenericStub& raw() { return raw_; }
  Plane& plane() { return plane_; }
  const ClientOptions& options() const { return options_; }
  CoderPool& coders() { return coders_; }
  DeviceCalls& device_calls() { return device_calls_; }

  // Sets the deadline and the client id of one attempt.
  void Prepare(grpc::ClientContext& context, SystemTime deadline) const;

  // Runs `attempt` until it succeeds, fails for good, or the deadline leaves no room for another
  // wait; then calls `done` once. attempt(report) starts one attempt and calls report(status) when
  // it ends, on any thread.
  using Report = std::function<void(absl::Status)>;
  using Attempt = std::function<void(Report report)>;
  void Run(SystemTime deadline, Attempt attempt, Report done);

  // Cancels what is in flight, refuses what comes, and waits until every `done` has been called and every attempt
  // has been answered.
  void Close();

  // Registers an attempt's context so that Close can cancel it.
  class InFlight {
   public:
    InFlight(Channel& channel, grpc::ClientContext* context);
    ~InFlight();
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;

   private:
    Channel& channel_;
    grpc::ClientContext* const context_;
  };

 private:
  struct Retrying;
  void Step(std::shared_ptr<Retrying> call);
  void OnceDone();
  uint64_t NextSeed();

  const ClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Cache::Stub> cache_;
  const std::unique_ptr<v1::Windows::Stub> windows_;
  const std::unique_ptr<v1::Admin::Stub> admin_;
  grpc::GenericStub raw_;
  CoderPool coders_;
  DeviceCalls device_calls_;
  Plane plane_;
  std::atomic<uint64_t> seed_;

  std::mutex mutex_;
  std::condition_variable idle_;
  bool closed_ = false;
  size_t running_ = 0;
  std::vector<grpc::ClientContext*> contexts_;
};

}  // namespace larder
