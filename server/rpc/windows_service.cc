#include "server/rpc/windows_service.h"

#include <utility>

#include "proto/contract/grpc_status.h"
#include "server/rpc/call_client.h"
#include "server/rpc/call_meter.h"
#include "server/rpc/get_to_window.h"
#include "server/rpc/put_from_window.h"
#include "server/rpc/window_reactor.h"

namespace larder::server {

grpc::ServerUnaryReactor* WindowsService::OpenWindow(grpc::CallbackServerContext* context,
                                                     const v1::OpenWindowRequest* request,
                                                     v1::OpenWindowResponse* response) {
  const CallMeter meter(backend_.metrics, Method::kOpenWindow, backend_.clock);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (backend_.ucx == nullptr) {
    reactor->Finish(
        meter.Done({grpc::StatusCode::UNIMPLEMENTED, "the plane ucx is off here: set ucx_listen"}));
    return reactor;
  }
  auto id = backend_.ucx->Open(ClientOf(*context), request->window_bytes());
  if (id.ok()) response->set_window_id(*std::move(id));
  reactor->Finish(meter.Done(ToGrpcStatus(id.status())));
  return reactor;
}

grpc::ServerUnaryReactor* WindowsService::CloseWindow(grpc::CallbackServerContext* context,
                                                      const v1::CloseWindowRequest* request,
                                                      v1::CloseWindowResponse* response) {
  const CallMeter meter(backend_.metrics, Method::kCloseWindow, backend_.clock);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const auto answer = [meter, reactor, response](bool closed) {
    response->set_closed(closed);
    reactor->Finish(meter.Done(grpc::Status::OK));
  };
  // Answered by whoever lets go of the window last.
  if (!backend_.windows.Close(request->window_id(), ClientOf(*context),
                              [answer] { answer(true); })) {
    answer(false);
  }
  return reactor;
}

grpc::ServerUnaryReactor* WindowsService::GetToWindow(grpc::CallbackServerContext* context,
                                                      const v1::GetToWindowRequest* request,
                                                      v1::GetToWindowResponse* response) {
  return new WindowReactor<server::GetToWindow>(backend_, context, [=](auto& get, CallDone done) {
    get.Start(*request, response, std::move(done));
  });
}

grpc::ServerUnaryReactor* WindowsService::PutFromWindow(grpc::CallbackServerContext* context,
                                                        const v1::PutFromWindowRequest* request,
                                                        v1::PutFromWindowResponse* response) {
  using Verb = server::PutFromWindow;
  return new WindowReactor<Verb>(backend_, context, [=](auto& put, CallDone done) {
    put.Start(*request, Verb::Blocks::kAll, response, std::move(done));
  });
}

}  // namespace larder::server
