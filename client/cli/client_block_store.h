// One space of a server as a BlockStore.
#pragma once

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "client/cli/block_store.h"

namespace larder::cli {

class ClientBlockStore : public BlockStore {
 public:
  // `client` must outlive this.
  ClientBlockStore(Client& client, Space space) : client_(client), space_(std::move(space)) {}

  const Space& space() const { return space_; }

  absl::StatusOr<LookupResult> Lookup(std::span<const PrefixHash> hashes,
                                      const LookupOptions& options) override {
    return client_.Lookup(space_, hashes, options);
  }
  absl::StatusOr<std::vector<GetResult>> Get(std::span<const GetBlock> blocks,
                                             const GetOptions& options) override {
    return client_.Get(space_, blocks, options);
  }
  absl::StatusOr<std::vector<PutResult>> Put(std::span<const PutBlock> blocks,
                                             const PutOptions& options) override {
    return client_.Put(space_, blocks, options);
  }
  absl::Status Release(std::string_view lease_id, const CallOptions& options) override {
    return client_.Release(lease_id, options).status();
  }

 private:
  Client& client_;
  const Space space_;
};

}  // namespace larder::cli
