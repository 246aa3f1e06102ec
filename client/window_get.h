// A Get over the client's window: asks for as many blocks at a time as the window holds, verifies and decodes
// each while the server still copies the next. Internal to the client library.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "client/channel.h"
#include "client/get_call.h"

namespace larder {

// A thread that waits for its call anyway and meanwhile does the call's work. Thread-safe.
class CallHelper {
 public:
  // To be done on the waiting thread, soon.
  void Offer(std::function<void()> work);
  // The call has ended.
  void End();
  // Does what is offered until the end.
  void HelpUntilEnd();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;
  bool ended_ = false;
};

// As StartGet, over `open`. Blocks for which the window has no room go inline in the end.
void StartWindowGet(const std::shared_ptr<Channel>& channel, const OpenWindow& open,
                    std::shared_ptr<GetWork> work, SystemTime deadline, Channel::Report report);

}  // namespace larder
