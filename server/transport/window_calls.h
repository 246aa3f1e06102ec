// Calls that come over the connections of windows, beside the blocks: what a listener and whoever answers calls know of
// each other. A plane brings messages whole and in order; what they say is not its affair.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace larder::server {

// The calls of one connection.
class WindowCalls {
 public:
  virtual ~WindowCalls() = default;
  WindowCalls(const WindowCalls&) = delete;
  WindowCalls& operator=(const WindowCalls&) = delete;

  // The client's next message. False when it breaks the rules: the connection is to be closed. Confined to the
  // listener's thread; quick.
  virtual bool Take(std::string_view message) = 0;
  // The connection has ended: nobody waits for what runs. Thread-safe.
  virtual void End() = 0;

 protected:
  WindowCalls() = default;
};

// Sends the client one message. Thread-safe; after the connection's end it drops it.
using AnswerCall = std::function<void(std::string message)>;
// `client` has opened a window.
using OpenCalls =
    std::function<std::shared_ptr<WindowCalls>(std::string client, AnswerCall answer)>;

}  // namespace larder::server
