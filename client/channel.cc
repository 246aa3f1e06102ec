#include "client/channel.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <random>
#include <utility>

#include "proto/contract/errors.h"

namespace larder {
namespace {

// A peer that vanished without closing its connection is noticed after interval + timeout, whatever
// the calls' deadlines.
constexpr int kKeepaliveIntervalMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
// How soon a lost connection is tried again: a restarted server is back within about a second.
constexpr int kReconnectFirstMs = 100;
constexpr int kReconnectMaxMs = 1'000;
// How long one attempt to connect may take: two lost SYNs, which are sent again after 1 and 3 s. gRPC takes its
// "minimal backoff" for that, and for nothing else.
constexpr int kConnectMs = 5'000;

// A PutResponse of kPutBlocksMax outcomes with their texts is about 15 MB.
constexpr int kReceiveBytesMax = 32 << 20;

ClientOptions Complete(ClientOptions options) {
  std::random_device system;
  if (options.jitter_seed == 0) options.jitter_seed = (uint64_t{system()} << 32) | system();
  if (options.client_id.empty()) {
    options.client_id = "client-" + std::to_string((uint64_t{system()} << 32) | system());
  }
  return options;
}

// An absent server is waited for as long as the deadline allows; one that is overloaded is asked a
// few times only.
bool MayRetry(const absl::Status& status, int retries, int retries_max) {
  if (status.code() == absl::StatusCode::kUnavailable) return retries_max > 0;
  return IsRetryable(status) && retries < retries_max;
}

// gRPC ends the threads that run callbacks with the process' last channel. When that goes on one of those
// threads, as it may when a late answer is all that still holds a Client, gRPC 1.51 can not join it and
// frees its queue while it is in use (grpc/grpc#32584). So a channel that leads nowhere, with one call that
// fails at once, keeps them until the process ends.
void KeepCallbackThreads() {
  struct Call {
    grpc::ClientContext context;
    v1::CapabilitiesRequest request;
    v1::CapabilitiesResponse response;
  };
  [[maybe_unused]] static const auto* const kept = [] {
    const auto* const channel =
        new std::shared_ptr<grpc::Channel>(grpc::CreateChannel("", /*creds=*/nullptr));
    auto* const call = new Call;
    const auto done = [call](const grpc::Status&) { delete call; };
    v1::Cache::NewStub(*channel)->async()->Capabilities(&call->context, &call->request,
                                                        &call->response, done);
    return channel;
  }();
}

std::shared_ptr<grpc::Channel> Open(const ClientOptions& options) {
  KeepCallbackThreads();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveIntervalMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectFirstMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // retries are ours (retry.h)
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                   1);  // one connection per Client, not per process
  return grpc::CreateCustomChannel(options.address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

Channel::Channel(const ClientOptions& options)
    : options_(Complete(options)),
      channel_(Open(options_)),
      cache_(v1::Cache::NewStub(channel_)),
      windows_(v1::Windows::NewStub(channel_)),
      admin_(v1::Admin::NewStub(channel_)),
      raw_(channel_),
      device_calls_(options_.device),
      plane_(options_),
      seed_(options_.jitter_seed) {}

void Channel::Prepare(grpc::ClientContext& context, SystemTime deadline) const {
  context.set_deadline(deadline);
  context.AddMetadata("larder-client", options_.client_id);
}

// One call with its retries. Kept alive by whichever attempt or wait is pending.
struct Channel::Retrying {
  Retrying(std::shared_ptr<Channel> channel_in, SystemTime deadline_in, Attempt attempt_in,
           Report done_in)
      : channel(std::move(channel_in)),
        deadline(deadline_in),
        attempt(std::move(attempt_in)),
        done(std::move(done_in)),
        backoff(channel->options_.backoff_first, channel->options_.backoff_max,
                channel->NextSeed()) {}

  std::shared_ptr<Channel> channel;
  SystemTime deadline;
  Attempt attempt;
  Report done;
  Backoff backoff;
  int retries = 0;
  grpc::Alarm alarm;
};

uint64_t Channel::NextSeed() { return seed_.fetch_add(0x9E3779B97F4A7C15u); }

void Channel::Run(SystemTime deadline, Attempt attempt, Report done) {
  bool closed;
  {
    std::lock_guard lock(mutex_);
    closed = closed_;
    if (!closed) ++running_;
  }
  if (closed) {
    done(ServerUnreachable(options_.address, "this client is being destroyed"));
    return;
  }
  Step(std::make_shared<Retrying>(shared_from_this(), deadline, std::move(attempt),
                                  std::move(done)));
}

void Channel::Step(std::shared_ptr<Retrying> call) {
  call->attempt([call](absl::Status status) {
    Channel& channel = *call->channel;
    const auto wake = std::chrono::system_clock::now() + call->backoff.Next();
    bool closed;
    {
      std::lock_guard lock(channel.mutex_);
      closed = channel.closed_;
    }
    // Only Close cancels calls here. Otherwise the server did: gRPC ends so what meets a server
    // that is shutting down.
    if (!closed && absl::IsCancelled(status)) {
      status = ServerUnreachable(channel.options_.address, "it ended the call");
    }
    const bool again = !closed && MayRetry(status, call->retries, channel.options_.retries_max) &&
                       wake < call->deadline;
    if (again) {
      ++call->retries;
      // The alarm keeps its callback after it has fired, and the call owns the alarm: the callback
      // must let go of the call.
      call->alarm.Set(wake, [call](bool) mutable {
        const auto self = std::move(call);
        self->channel->Step(self);
      });
      return;
    }
    call->done(std::move(status));
    call->done = nullptr;
    channel.OnceDone();
  });
}

void Channel::OnceDone() {
  std::lock_guard lock(mutex_);
  --running_;
  idle_.notify_all();
}

void Channel::Close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  plane_.Close();  // ends the calls over its connection
  std::unique_lock lock(mutex_);
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
  idle_.wait(lock, [this] { return running_ == 0 && contexts_.empty(); });
}

Channel::InFlight::InFlight(Channel& channel, grpc::ClientContext* context)
    : channel_(channel), context_(context) {
  std::lock_guard lock(channel_.mutex_);
  channel_.contexts_.push_back(context);
  if (channel_.closed_) context->TryCancel();
}

Channel::InFlight::~InFlight() {
  std::lock_guard lock(channel_.mutex_);
  channel_.contexts_.erase(
      std::find(channel_.contexts_.begin(), channel_.contexts_.end(), context_));
  channel_.idle_.notify_all();
}

}  // namespace larder
