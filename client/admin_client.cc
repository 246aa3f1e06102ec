#include "client/admin_client.h"

#include <utility>

#include "client/channel.h"
#include "client/unary_call.h"
#include "proto/contract/errors.h"

namespace larder {
namespace {

// start(stub, context, request, response, callback) issues the call.
template <typename Response, typename Request, typename Start>
absl::StatusOr<Response> Call(const std::shared_ptr<Channel>& channel, const Request& request,
                              const CallOptions& options, Start start) {
  return Await<absl::StatusOr<Response>>([&](auto done) {
    CallUnary<Response>(
        channel, DeadlineOf(options), request,
        [stub = channel->admin().async(), start](auto... arguments) { start(stub, arguments...); },
        std::move(done));
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminClient>> AdminClient::Connect(const ClientOptions& options) {
  if (options.address.rfind(':') == std::string::npos) {
    return InvalidField("address", options.address, "HOST:PORT");
  }
  return std::unique_ptr<AdminClient>(new AdminClient(std::make_shared<Channel>(options)));
}

AdminClient::AdminClient(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
AdminClient::~AdminClient() { channel_->Close(); }

absl::StatusOr<v1::StatsResponse> AdminClient::Stats(const CallOptions& call) {
  return Call<v1::StatsResponse>(channel_, v1::StatsRequest(), call,
                                 [](auto stub, auto... arguments) { stub->Stats(arguments...); });
}

absl::StatusOr<v1::SpacesResponse> AdminClient::Spaces(const CallOptions& call) {
  return Call<v1::SpacesResponse>(channel_, v1::SpacesRequest(), call,
                                  [](auto stub, auto... arguments) { stub->Spaces(arguments...); });
}

absl::StatusOr<std::string> AdminClient::ConfigYaml(const CallOptions& call) {
  const auto response =
      Call<v1::ConfigResponse>(channel_, v1::ConfigRequest(), call,
                               [](auto stub, auto... arguments) { stub->Config(arguments...); });
  if (!response.ok()) return response.status();
  return response->yaml();
}

absl::Status AdminClient::Drain(const CallOptions& call) {
  return Call<v1::DrainResponse>(channel_, v1::DrainRequest(), call,
                                 [](auto stub, auto... arguments) { stub->Drain(arguments...); })
      .status();
}

absl::StatusOr<v1::EvictResponse> AdminClient::Evict(const v1::EvictRequest& request,
                                                     const CallOptions& call) {
  return Call<v1::EvictResponse>(channel_, request, call,
                                 [](auto stub, auto... arguments) { stub->Evict(arguments...); });
}

absl::StatusOr<v1::QuarantineResponse> AdminClient::Quarantine(const CallOptions& call) {
  return Call<v1::QuarantineResponse>(
      channel_, v1::QuarantineRequest(), call,
      [](auto stub, auto... arguments) { stub->Quarantine(arguments...); });
}

}  // namespace larder
