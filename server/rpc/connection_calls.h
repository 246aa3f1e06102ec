// The calls over one window's connection: WindowCall in, WindowReply out (larder/v1/window.proto).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "larder/v1/window.pb.h"
#include "server/base/mutex.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_origin.h"
#include "server/rpc/get_to_window.h"
#include "server/rpc/put_from_window.h"
#include "server/transport/window_calls.h"

namespace larder::server {

// Thread-safe, as WindowCalls says. Kept alive by its connection and by its running calls.
class ConnectionCalls final : public WindowCalls,
                              public std::enable_shared_from_this<ConnectionCalls> {
 public:
  ConnectionCalls(Backend& backend, std::string client, AnswerCall answer)
      : backend_(backend), client_(std::move(client)), answer_(std::move(answer)) {}

  bool Take(std::string_view message) override;
  void End() override;

 private:
  struct Call {
    v1::WindowCall request;
    v1::WindowReply reply;
    // One of them, set while it runs.
    std::shared_ptr<GetToWindow> get;
    std::shared_ptr<PutFromWindow> put;
  };
  // Whether the call may run; else it is answered, or (false in `keeps_rules`) breaks the rules.
  bool Admit(const std::shared_ptr<Call>& call, bool& keeps_rules);
  void Run(const std::shared_ptr<Call>& call);
  void Finish(const std::shared_ptr<Call>& call, const grpc::Status& status);
  void Reply(v1::WindowReply& reply, const grpc::Status& status) const;

  Backend& backend_;
  const std::string client_;
  const AnswerCall answer_;
  Mutex mutex_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Call>> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
