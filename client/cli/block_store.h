// What replay and bench need of a store. Two implementations: ClientBlockStore, and a model of
// a store in the tests.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"

namespace larder::cli {

// Calls mean what client.h says. Thread-safe.
class BlockStore {
 public:
  virtual ~BlockStore() = default;

  virtual absl::StatusOr<LookupResult> Lookup(std::span<const PrefixHash> hashes,
                                              const LookupOptions& options) = 0;
  virtual absl::StatusOr<std::vector<GetResult>> Get(std::span<const GetBlock> blocks,
                                                     const GetOptions& options) = 0;
  virtual absl::StatusOr<std::vector<PutResult>> Put(std::span<const PutBlock> blocks,
                                                     const PutOptions& options) = 0;
  virtual absl::Status Release(std::string_view lease_id, const CallOptions& options) = 0;
};

}  // namespace larder::cli
