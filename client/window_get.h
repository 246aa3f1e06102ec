// A Get over the client's window: asks for as many blocks at a time as the window holds, verifies and decodes
// each while the server still copies the next. Internal to the client library.
#pragma once

#include <memory>

#include "client/channel.h"
#include "client/get_call.h"

namespace larder {

// As StartGet, over `open`. Blocks for which the window has no room go inline in the end.
void StartWindowGet(const std::shared_ptr<Channel>& channel, const OpenWindow& open,
                    std::shared_ptr<GetWork> work, SystemTime deadline, Channel::Report report);

}  // namespace larder
