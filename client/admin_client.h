// Operators' calls (larder.v1.Admin). Separate from Client: an engine never needs it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "larder/v1/admin.pb.h"

namespace larder {

class Channel;

// Thread-safe. Every call ends by its timeout; UNAVAILABLE is retried inside it.
class AdminClient {
 public:
  // Does not touch the network: the first call does.
  static absl::StatusOr<std::unique_ptr<AdminClient>> Connect(const ClientOptions& options);
  ~AdminClient();

  absl::StatusOr<v1::StatsResponse> Stats(const CallOptions& call = {});
  absl::StatusOr<v1::SpacesResponse> Spaces(const CallOptions& call = {});
  absl::StatusOr<std::string> ConfigYaml(const CallOptions& call = {});
  absl::Status Drain(const CallOptions& call = {});
  absl::StatusOr<v1::EvictResponse> Evict(const v1::EvictRequest& request,
                                          const CallOptions& call = {});
  absl::StatusOr<v1::QuarantineResponse> Quarantine(const CallOptions& call = {});

 private:
  explicit AdminClient(std::shared_ptr<Channel> channel);
  std::shared_ptr<Channel> channel_;
};

}  // namespace larder
