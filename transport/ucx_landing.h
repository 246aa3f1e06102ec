// Memory in which pieces that are pulled land before they are copied to where they belong.
//
// UCX keeps a TCP connection open for receiving after its endpoint has been closed by force, so what the other side
// still sends arrives where it was once announced, whoever owns that memory by then. So pieces land here: a buffer
// is used again only when UCX has said that it is whole, and one of a connection that was closed meanwhile is
// never given away nor unmapped while the UCX worker lives; only its pages are.
//
// Confined to the worker's thread. Destroy it after the UCX worker. Costs address space: kUcxPieceBytes per piece
// that was cut off.
#pragma once

#include <cstddef>
#include <vector>

namespace larder::transport {

class UcxLanding {
 public:
  UcxLanding() = default;
  ~UcxLanding();
  UcxLanding(const UcxLanding&) = delete;
  UcxLanding& operator=(const UcxLanding&) = delete;

  // kUcxPieceBytes; null when the system has no more.
  std::byte* Take();
  // Everything that was to come has come. Keeps the pages of kWarmMax buffers, whatever the number that was once in use.
  void GiveBack(std::byte* buffer);
  // Something may still come. It stays what it is, without its pages.
  static void Abandon(std::byte* buffer);

 private:
  // 32 MiB: eight connections at full rate.
  static constexpr size_t kWarmMax = 32;

  std::vector<std::byte*> all_;
  std::vector<std::byte*> warm_, cold_;  // free; with their pages, and without
};

}  // namespace larder::transport
