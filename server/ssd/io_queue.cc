#include "server/ssd/io_queue.h"

#include "server/ssd/thread_queue.h"
#include "server/ssd/uring_queue.h"

namespace larder::server {

std::unique_ptr<IoQueue> OpenIoQueue(const IoQueueOptions& options) {
  if (options.io_uring) {
    if (std::unique_ptr<UringQueue> queue = UringQueue::Open(options)) return queue;
  }
  return std::make_unique<ThreadQueue>(options);
}

}  // namespace larder::server
