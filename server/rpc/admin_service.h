// larder.v1.Admin: the operators' view. Same shape as cache_service.h, never on the data path.
#pragma once

#include <grpcpp/grpcpp.h>

#include "larder/v1/admin.grpc.pb.h"
#include "server/rpc/backend.h"

namespace larder::server {

// Thread-safe. The backend must outlive it.
class AdminService final : public v1::Admin::CallbackService {
 public:
  explicit AdminService(Backend& backend) : backend_(backend) {}

  grpc::ServerUnaryReactor* Stats(grpc::CallbackServerContext* context,
                                  const v1::StatsRequest* request,
                                  v1::StatsResponse* response) override;
  grpc::ServerUnaryReactor* Config(grpc::CallbackServerContext* context,
                                   const v1::ConfigRequest* request,
                                   v1::ConfigResponse* response) override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const v1::DrainRequest* request,
                                  v1::DrainResponse* response) override;
  grpc::ServerUnaryReactor* Evict(grpc::CallbackServerContext* context,
                                  const v1::EvictRequest* request,
                                  v1::EvictResponse* response) override;
  grpc::ServerUnaryReactor* Quarantine(grpc::CallbackServerContext* context,
                                       const v1::QuarantineRequest* request,
                                       v1::QuarantineResponse* response) override;
  grpc::ServerUnaryReactor* Spaces(grpc::CallbackServerContext* context,
                                   const v1::SpacesRequest* request,
                                   v1::SpacesResponse* response) override;

 private:
  Backend& backend_;
};

}  // namespace larder::server
