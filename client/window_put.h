// A Put over the client's window: frames are laid into the window (blocks that lie there already are not
// copied), the server reads them from it. Internal to the client library.
#pragma once

#include <memory>

#include "client/channel.h"
#include "client/plane.h"
#include "client/put_call.h"

namespace larder {

// As StartPut, over `open`. What has no room in the window goes inline in the end.
void StartWindowPut(const std::shared_ptr<Channel>& channel, const OpenWindow& open,
                    std::shared_ptr<PutWork> work, SystemTime deadline, Channel::Report report);

}  // namespace larder
