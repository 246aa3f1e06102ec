// larder.v1.Cache on gRPC's callback API: validate, convert, call one store function, convert back.
// Put and Get carry payload and therefore work on raw byte buffers (put_reactor.h, get_reactor.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include "larder/v1/cache.grpc.pb.h"
#include "server/rpc/backend.h"

namespace larder::server {

namespace cache_service_internal {
template <typename Base>
using Typed =
    v1::Cache::WithCallbackMethod_Capabilities<v1::Cache::WithCallbackMethod_RegisterManifest<
        v1::Cache::WithCallbackMethod_Lookup<v1::Cache::WithCallbackMethod_Release<
            v1::Cache::WithCallbackMethod_Renew<v1::Cache::WithCallbackMethod_Retain<
                v1::Cache::WithCallbackMethod_WatchEvents<Base>>>>>>>;
using Service = Typed<
    v1::Cache::WithRawCallbackMethod_Put<v1::Cache::WithRawCallbackMethod_Get<v1::Cache::Service>>>;
}  // namespace cache_service_internal

// Thread-safe. The backend must outlive it.
class CacheService final : public cache_service_internal::Service {
 public:
  explicit CacheService(Backend& backend);

  grpc::ServerUnaryReactor* Capabilities(grpc::CallbackServerContext* context,
                                         const v1::CapabilitiesRequest* request,
                                         v1::CapabilitiesResponse* response) override;
  grpc::ServerUnaryReactor* RegisterManifest(grpc::CallbackServerContext* context,
                                             const v1::RegisterManifestRequest* request,
                                             v1::RegisterManifestResponse* response) override;
  grpc::ServerUnaryReactor* Lookup(grpc::CallbackServerContext* context,
                                   const v1::LookupRequest* request,
                                   v1::LookupResponse* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* Put(grpc::CallbackServerContext* context,
                                                 grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Get(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* context,
                                    const v1::ReleaseRequest* request,
                                    v1::ReleaseResponse* response) override;
  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context,
                                  const v1::RenewRequest* request,
                                  v1::RenewResponse* response) override;
  grpc::ServerUnaryReactor* Retain(grpc::CallbackServerContext* context,
                                   const v1::RetainRequest* request,
                                   v1::RetainResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchEventsResponse>* WatchEvents(
      grpc::CallbackServerContext* context, const v1::WatchEventsRequest* request) override;

 private:
  Backend& backend_;
};

}  // namespace larder::server
