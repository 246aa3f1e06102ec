#include "server/ssd/catalog.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/iterator.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "proto/contract/errors.h"
#include "server/base/mutex.h"
#include "server/ssd/catalog_entry.h"

namespace larder::server {
namespace {

// First byte of every key in RocksDB: entries, and numbers of the tier's own.
constexpr char kEntrySpace = 'e';
constexpr char kNumberSpace = 'n';

std::string SpaceKey(char space, std::string_view name) {
  std::string key(1, space);
  key += name;
  return key;
}

std::string_view ViewOf(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

absl::Status StatusOf(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) return absl::OkStatus();
  const bool damaged = status.IsCorruption() || status.IsNotFound() || status.IsInvalidArgument() ||
                       status.IsNotSupported() || status.IsPathNotFound();
  if (damaged) return DamagedRecord("the catalog of the SSD tier (" + status.ToString() + ")");
  return StorageFailed(doing, status.ToString());
}

rocksdb::Options DatabaseOptions(const Catalog::Options& options,
                                 std::shared_ptr<rocksdb::Statistics> statistics) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.cache_bytes);
  table.filter_policy.reset(rocksdb::NewRibbonFilterPolicy(kCatalogFilterBits));
  // In the cache, in parts: memory does not grow with the number of entries.
  table.cache_index_and_filter_blocks = true;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.format_version = 5;

  rocksdb::Options database;
  database.create_if_missing = true;
  database.paranoid_checks = true;
  database.track_and_verify_wals_in_manifest = true;
  database.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  database.statistics = std::move(statistics);
  database.write_buffer_size = kCatalogWriteBufferBytes;
  database.max_write_buffer_number = 2;
  database.max_total_wal_size = 4 * kCatalogWriteBufferBytes;
  database.target_file_size_base = kCatalogWriteBufferBytes;
  database.max_background_jobs = 2;
  database.max_open_files = kCatalogOpenFilesMax;
  database.compression = rocksdb::kNoCompression;  // hashes do not compress
  database.keep_log_file_num = 2;
  database.max_log_file_size = 1 << 20;
  database.info_log_level = rocksdb::WARN_LEVEL;
  database.stats_dump_period_sec = 0;
  database.stats_persist_period_sec = 0;
  return database;
}

}  // namespace

struct Catalog::State {
  Options options;
  std::shared_ptr<rocksdb::Statistics> statistics;
  Mutex mutex;
  // Shared for the length of one call, so that Reopen can wait for those under way.
  std::shared_ptr<rocksdb::DB> database ABSL_GUARDED_BY(mutex);

  // Null while it is being reopened, or after that failed.
  std::shared_ptr<rocksdb::DB> Get() {
    MutexLock lock(mutex);
    return database;
  }

  absl::Status OpenDatabase() {
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status =
        rocksdb::DB::Open(DatabaseOptions(options, statistics), options.path, &opened);
    if (!status.ok()) return StatusOf(status, "opening the catalog");
    MutexLock lock(mutex);
    database.reset(opened);
    return absl::OkStatus();
  }
};

struct Catalog::Batch::State {
  rocksdb::WriteBatch batch;
  uint64_t seed = 0;
};

Catalog::Batch::Batch(const Catalog& catalog) : state_(std::make_unique<State>()) {
  state_->seed = catalog.state_->options.seed;
}
Catalog::Batch::~Batch() = default;

void Catalog::Batch::Put(const StoredRecord& record) {
  state_->batch.Put(SpaceKey(kEntrySpace, record.entry.record.key),
                    EncodeCatalogEntry(record, state_->seed));
}
void Catalog::Batch::Delete(std::string_view key) {
  state_->batch.Delete(SpaceKey(kEntrySpace, key));
}
void Catalog::Batch::PutNumber(std::string_view name, uint64_t value) {
  const std::string key = SpaceKey(kNumberSpace, name);
  state_->batch.Put(key, EncodeCatalogNumber(key, value, state_->seed));
}
uint64_t Catalog::Batch::size() const { return state_->batch.Count(); }

Catalog::Catalog(std::unique_ptr<State> state) : state_(std::move(state)) {}
Catalog::~Catalog() = default;

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(const Options& options) {
  auto state = std::make_unique<State>();
  state->options = options;
  state->statistics = rocksdb::CreateDBStatistics();
  state->statistics->set_stats_level(rocksdb::StatsLevel::kExceptHistogramOrTimers);
  if (absl::Status status = state->OpenDatabase(); !status.ok()) return status;
  return std::unique_ptr<Catalog>(new Catalog(std::move(state)));
}

bool Catalog::Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

absl::Status Catalog::Destroy(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return StorageFailed("deleting a damaged catalog", error.message());
  return absl::OkStatus();
}

absl::Status Catalog::Commit(Batch& batch, bool sync) {
  const std::shared_ptr<rocksdb::DB> database = state_->Get();
  if (database == nullptr) return StorageFailed("writing the catalog", "it is closed");
  rocksdb::WriteOptions options;
  options.sync = sync;
  return StatusOf(database->Write(options, &batch.state_->batch), "writing the catalog");
}

absl::StatusOr<std::optional<StoredRecord>> Catalog::Find(std::string_view key) const {
  const std::shared_ptr<rocksdb::DB> database = state_->Get();
  if (database == nullptr) return StorageFailed("reading the catalog", "it is closed");
  std::string value;
  const rocksdb::Status status =
      database->Get(rocksdb::ReadOptions(), SpaceKey(kEntrySpace, key), &value);
  if (status.IsNotFound()) return std::optional<StoredRecord>();
  if (!status.ok()) return StatusOf(status, "reading the catalog");
  return DecodeCatalogEntry(key, value, state_->options.seed);
}

absl::StatusOr<std::optional<uint64_t>> Catalog::FindNumber(std::string_view name) const {
  const std::shared_ptr<rocksdb::DB> database = state_->Get();
  if (database == nullptr) return StorageFailed("reading the catalog", "it is closed");
  const std::string key = SpaceKey(kNumberSpace, name);
  std::string value;
  const rocksdb::Status status = database->Get(rocksdb::ReadOptions(), key, &value);
  if (status.IsNotFound()) return std::optional<uint64_t>();
  if (!status.ok()) return StatusOf(status, "reading the catalog");
  return DecodeCatalogNumber(key, value, state_->options.seed);
}

absl::StatusOr<Catalog::Walk> Catalog::ForEach(
    const std::function<void(const StoredRecord&)>& visit) const {
  const std::shared_ptr<rocksdb::DB> database = state_->Get();
  if (database == nullptr) return StorageFailed("reading the catalog", "it is closed");
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = 2 << 20;
  const std::unique_ptr<rocksdb::Iterator> iterator(database->NewIterator(options));
  Walk walk;
  for (iterator->Seek(std::string(1, kEntrySpace)); iterator->Valid(); iterator->Next()) {
    const std::string_view key = ViewOf(iterator->key());
    if (key.empty() || key.front() != kEntrySpace) break;
    const auto record =
        DecodeCatalogEntry(key.substr(1), ViewOf(iterator->value()), state_->options.seed);
    if (record.has_value()) {
      ++walk.entries;
      visit(*record);
    } else if (walk.damaged.size() < kDamagedKeysMax) {
      walk.damaged.emplace_back(key.substr(1));
    }
  }
  if (!iterator->status().ok()) return StatusOf(iterator->status(), "reading the catalog");
  return walk;
}

absl::Status Catalog::Reopen() {
  std::weak_ptr<rocksdb::DB> old;
  {
    MutexLock lock(state_->mutex);
    old = state_->database;
    state_->database.reset();
  }
  // The files have one owner: those that still use it end soon, their reads are short.
  while (!old.expired()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return state_->OpenDatabase();
}

uint64_t Catalog::file_bytes() const {
  const std::shared_ptr<rocksdb::DB> database = state_->Get();
  if (database == nullptr) return 0;
  uint64_t tables = 0;
  uint64_t log = 0;  // about what the log holds: it is cut when the write buffers are flushed
  database->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &tables);
  database->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &log);
  return tables + log;
}

uint64_t Catalog::bytes_written() const {
  uint64_t bytes = 0;
  for (const rocksdb::Tickers ticker :
       {rocksdb::WAL_FILE_BYTES, rocksdb::FLUSH_WRITE_BYTES, rocksdb::COMPACT_WRITE_BYTES}) {
    bytes += state_->statistics->getTickerCount(ticker);
  }
  return bytes;
}

}  // namespace larder::server
