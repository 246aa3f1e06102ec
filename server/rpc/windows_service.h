// larder.v1.Windows on gRPC's callback API: calls whose payload lies in a window of the client.
#pragma once

#include <grpcpp/grpcpp.h>

#include "larder/v1/window.grpc.pb.h"
#include "server/rpc/backend.h"

namespace larder::server {

// Thread-safe. The backend must outlive it.
class WindowsService final : public v1::Windows::CallbackService {
 public:
  explicit WindowsService(Backend& backend) : backend_(backend) {}

  grpc::ServerUnaryReactor* OpenWindow(grpc::CallbackServerContext* context,
                                       const v1::OpenWindowRequest* request,
                                       v1::OpenWindowResponse* response) override;
  grpc::ServerUnaryReactor* CloseWindow(grpc::CallbackServerContext* context,
                                        const v1::CloseWindowRequest* request,
                                        v1::CloseWindowResponse* response) override;
  grpc::ServerUnaryReactor* GetToWindow(grpc::CallbackServerContext* context,
                                        const v1::GetToWindowRequest* request,
                                        v1::GetToWindowResponse* response) override;
  grpc::ServerUnaryReactor* PutFromWindow(grpc::CallbackServerContext* context,
                                          const v1::PutFromWindowRequest* request,
                                          v1::PutFromWindowResponse* response) override;

 private:
  Backend& backend_;
};

}  // namespace larder::server
