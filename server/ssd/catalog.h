// The durable names of the SSD tier: key -> record and location, in RocksDB. The only user of
// RocksDB. Every value carries a checksum over key and value of its own, so that no damage that
// RocksDB misses becomes a wrong location; FORMAT.md has the bytes.
//
// Thread-safe. Blocking: a commit with sync costs a device flush, a find up to one read. Errors:
// UNAVAILABLE (I/O), DATA_LOSS (the files are damaged: Destroy, then rebuild from the segments).
// Memory: the configured caches and two write buffers; nothing grows with the entries.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ssd/segment_format.h"

namespace larder::server {

inline constexpr uint64_t kCatalogWriteBufferBytes = 8ull << 20;  // also what a start replays
inline constexpr int kCatalogOpenFilesMax = 128;
inline constexpr double kCatalogFilterBits =
    10;  // of a ribbon filter: 1 % of absent keys cost a read

inline constexpr size_t kDamagedKeysMax = 100'000;

class Catalog {
 public:
  struct Options {
    std::string path;
    uint64_t cache_bytes = 32ull << 20;
    uint64_t seed = 0;
  };
  // Makes it when absent. DATA_LOSS when its files do not fit together.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(const Options& options);
  static bool Exists(const std::string& path);
  // Deletes all its files. Not while it is open.
  static absl::Status Destroy(const std::string& path);
  ~Catalog();

  // Changes that become visible together. Thread-compatible.
  class Batch {
   public:
    explicit Batch(const Catalog& catalog);
    ~Batch();
    void Put(const StoredRecord& record);
    void Delete(std::string_view key);
    // A small number of the tier's own, under a name that no key can have.
    void PutNumber(std::string_view name, uint64_t value);
    uint64_t size() const;  // changes

   private:
    friend class Catalog;
    struct State;
    std::unique_ptr<State> state_;
  };
  // With `sync` durable when it returns OK. All or nothing, also over a crash.
  absl::Status Commit(Batch& batch, bool sync);

  // An entry that fails its checksum is absent.
  absl::StatusOr<std::optional<StoredRecord>> Find(std::string_view key) const;
  absl::StatusOr<std::optional<uint64_t>> FindNumber(std::string_view name) const;

  struct Walk {
    uint64_t entries = 0;
    std::vector<std::string> damaged;  // keys of what was skipped, kDamagedKeysMax at most
  };
  // Visits every entry, in key order, as of the call. DATA_LOSS when a part can not be read.
  absl::StatusOr<Walk> ForEach(const std::function<void(const StoredRecord&)>& visit) const;

  // After an I/O error: closes and opens the files again. Waits for other calls to end.
  absl::Status Reopen();

  uint64_t file_bytes() const;
  uint64_t bytes_written() const;  // since Open, over Reopen: log, flushes, compaction

 private:
  struct State;
  explicit Catalog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace larder::server
