// Damages the SSD tier's files behind its back and demands that every damage is noticed before bytes
// leave it, and that a damaged catalog costs entries at most:
//   ssd_corruption_test --faults=100000 --seed=1
// Bits flipped, records cut off, pages lost, frames swapped, segments swapped; catalog files with bits
// flipped, cut off, zeroed, swapped, deleted. The image is small, so that a fault costs little.
#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string_view>

#include "gtest/gtest.h"
#include "server/ssd/segment_format.h"
#include "tests/unit/server/ssd/ssd_fixture.h"

namespace larder::testing {
namespace {

using server::RecordBytes;

uint64_t faults_wanted = 2000;  // a few seconds; a full run asks for 10^5
uint64_t seed = 1;

constexpr uint64_t kSegment = 1 << 20;
constexpr uint64_t kCatalogEvery =
    100;  // one fault in this many is the catalog's: it costs a restart

uint64_t PositionOf(const SsdLocation& location) {
  return server::kSegmentsBegin + server::IndexOf(location.segment) * kSegment +
         location.offset * server::kSsdUnitBytes;
}

// The segments file, read and written without the tier.
class Image {
 public:
  explicit Image(const std::string& path) : file_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    LARDER_CHECK(file_ >= 0);
  }
  ~Image() { close(file_); }
  Bytes Get(uint64_t at, uint64_t bytes) const {
    Bytes out(bytes);
    LARDER_CHECK(pread(file_, out.data(), bytes, static_cast<off_t>(at)) ==
                 static_cast<ssize_t>(bytes));
    return out;
  }
  void Put(uint64_t at, const Bytes& bytes) const {
    LARDER_CHECK(pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
                 static_cast<ssize_t>(bytes.size()));
  }

 private:
  const int file_;
};

struct Stored {
  TestBlock block;
  SsdLocation location;
  uint64_t at() const { return PositionOf(location); }
  uint64_t bytes() const { return RecordBytes(location.frame_bytes); }
};

std::vector<Stored> Fill(SsdTier& tier, uint32_t first, uint32_t count, uint32_t tokens_max) {
  std::mt19937_64 random(seed + first);
  std::vector<Stored> all;
  std::vector<std::future<absl::StatusOr<SsdLocation>>> appends;
  for (uint32_t i = 0; i < count; ++i) {
    const auto tokens = static_cast<uint32_t>(1 + RandomUpTo(random, tokens_max - 1));
    all.push_back({MakeBlock(first + i, i % 3 == 0 ? tokens_max : tokens), {}});
  }
  for (const Stored& stored : all) appends.push_back(StartAppend(tier, stored.block));
  for (size_t i = 0; i < all.size(); ++i) all[i].location = appends[i].get().value();
  return all;
}

// What a fault did: which bytes to put back, and which blocks must not be served meanwhile.
struct Fault {
  std::vector<std::pair<uint64_t, Bytes>> undo;
  std::vector<size_t> hit;
};

class SegmentFaults {
 public:
  SegmentFaults(const Image& image, const std::vector<Stored>& stored, std::mt19937_64& random)
      : image_(image), stored_(stored), random_(random) {}

  Fault Make() {
    const uint64_t kind = RandomUpTo(random_, 99);
    if (kind == 0) return SwapSegments();
    if (kind < 41) return Change([this](Bytes& record) { FlipBits(record); });
    if (kind < 61) return Change([this](Bytes& record) { CutOff(record); });
    if (kind < 76) return Change([this](Bytes& record) { LosePage(record); });
    return SwapFrames();
  }

 private:
  size_t Any() { return RandomUpTo(random_, stored_.size() - 1); }

  template <typename Damage>
  Fault Change(const Damage& damage) {
    const size_t which = Any();
    Bytes record = image_.Get(stored_[which].at(), stored_[which].bytes());
    Fault fault{{{stored_[which].at(), record}}, {}};
    damage(record);
    if (record == fault.undo[0].second) return {};
    image_.Put(stored_[which].at(), record);
    fault.hit = {which};
    return fault;
  }
  void FlipBits(Bytes& record) {
    for (uint64_t flips = 1 + RandomUpTo(random_, 3); flips > 0; --flips) {
      record[RandomUpTo(random_, record.size() - 1)] ^=
          static_cast<std::byte>(1u << RandomUpTo(random_, 7));
    }
  }
  void CutOff(Bytes& record) {
    const auto from = static_cast<int64_t>(RandomUpTo(random_, record.size() - 1));
    std::fill(record.begin() + from, record.end(), std::byte{0});
  }
  void LosePage(Bytes& record) {
    const uint64_t begin = RandomUpTo(random_, record.size() - 1) / 512 * 512;
    const uint64_t end = std::min<uint64_t>(begin + 4096, record.size());
    for (uint64_t i = begin; i < end; ++i) record[i] = static_cast<std::byte>(random_());
  }
  // Whole records, or the frames behind headers that stay.
  Fault SwapFrames() {
    const size_t a = Any();
    const size_t b = Any();
    if (a == b || stored_[a].bytes() != stored_[b].bytes()) return {};
    const uint64_t skip = RandomUpTo(random_, 1) * sizeof(server::RecordHeader);
    const Bytes of_a = image_.Get(stored_[a].at() + skip, stored_[a].bytes() - skip);
    const Bytes of_b = image_.Get(stored_[b].at() + skip, stored_[b].bytes() - skip);
    image_.Put(stored_[a].at() + skip, of_b);
    image_.Put(stored_[b].at() + skip, of_a);
    return {{{stored_[a].at() + skip, of_a}, {stored_[b].at() + skip, of_b}}, {a, b}};
  }
  Fault SwapSegments() {
    const uint32_t a = server::IndexOf(stored_[Any()].location.segment);
    const uint32_t b = server::IndexOf(stored_[Any()].location.segment);
    if (a == b) return {};
    const uint64_t at_a = server::kSegmentsBegin + a * kSegment;
    const uint64_t at_b = server::kSegmentsBegin + b * kSegment;
    Fault fault{{{at_a, image_.Get(at_a, kSegment)}, {at_b, image_.Get(at_b, kSegment)}}, {}};
    image_.Put(at_a, fault.undo[1].second);
    image_.Put(at_b, fault.undo[0].second);
    for (size_t i = 0; i < stored_.size(); ++i) {
      const uint32_t segment = server::IndexOf(stored_[i].location.segment);
      if (segment == a || segment == b) fault.hit.push_back(i);
    }
    return fault;
  }

  const Image& image_;
  const std::vector<Stored>& stored_;
  std::mt19937_64& random_;
};

TEST(SsdCorruptionTest, NoDamageOfSegmentsIsServed) {
  std::mt19937_64 random(seed);
  const ScratchDirectory directory;
  const auto tier = OpenSsd(SmallSsd(directory));
  const std::vector<Stored> stored = Fill(*tier, 0, 240, 60);
  const Image image(directory / "a/segments");
  SegmentFaults faults(image, stored, random);
  const uint64_t wanted = faults_wanted - faults_wanted / kCatalogEvery;
  uint64_t made = 0;
  uint64_t refused = 0;
  while (made < wanted) {
    const Fault fault = faults.Make();
    if (fault.hit.empty()) continue;
    ++made;
    for (const size_t hit : fault.hit) {
      const auto frame = ReadNow(*tier, stored[hit].block.record.key, stored[hit].location);
      ASSERT_TRUE(absl::IsDataLoss(frame.status()))
          << "seed " << seed << ", fault " << made << ": " << (frame.ok() ? "served" : "")
          << frame.status();
      ++refused;
    }
    for (const auto& [at, bytes] : fault.undo) image.Put(at, bytes);
    if (made % 16 != 0) continue;
    const Stored& other = stored[RandomUpTo(random, stored.size() - 1)];
    ASSERT_TRUE(Same(ReadNow(*tier, other.block.record.key, other.location), other.block));
  }
  EXPECT_EQ(tier->usage().damaged_frames, refused);
  EXPECT_GE(refused, wanted);
  std::printf("seed %" PRIu64 ": %" PRIu64 " faults in segments, %" PRIu64
              " damaged reads refused, none served\n",
              seed, made, refused);
}

using Files = std::map<std::string, std::string>;

Files ReadFiles(const std::filesystem::path& directory) {
  Files files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return files;
}

void WriteFiles(const std::filesystem::path& directory, const Files& files) {
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  for (const auto& [name, content] : files) {
    std::ofstream(directory / name, std::ios::binary) << content;
  }
}

// False when nothing changed.
bool DamageCatalog(Files& files, std::mt19937_64& random) {
  const auto any = [&] {
    return std::next(files.begin(), static_cast<int64_t>(RandomUpTo(random, files.size() - 1)));
  };
  const auto file = any();
  if (file->first.starts_with("LOG") || file->first == "LOCK") return false;
  std::string& content = file->second;
  if (content.empty()) return false;
  const Files before = files;
  const uint64_t at = RandomUpTo(random, content.size() - 1);
  switch (RandomUpTo(random, 9)) {
    case 0:
      content.resize(at);
      break;
    case 1:
      std::fill(content.begin() + static_cast<int64_t>(at), content.end(), '\0');
      break;
    case 2:
      std::swap(content, any()->second);
      break;
    case 3:
      files.erase(file);
      return true;
    default:
      for (uint64_t flips = 1 + RandomUpTo(random, 3); flips > 0; --flips) {
        content[RandomUpTo(random, content.size() - 1)] ^=
            static_cast<char>(1 << RandomUpTo(random, 7));
      }
  }
  return files != before;
}

TEST(SsdCorruptionTest, ADamagedCatalogLosesEntriesAtMost) {
  std::mt19937_64 random(seed);
  const ScratchDirectory directory;
  const std::filesystem::path catalog = directory.path() / "a" / "catalog";
  const auto options = SmallSsd(directory);
  std::vector<Files> images;
  std::map<std::string, Stored> expected;
  for (uint32_t round = 0; round < 3; ++round) {  // the later ones have tables beside the log
    {
      const auto tier = OpenSsd(options);
      for (const Stored& stored : Fill(*tier, round * 100, 20, 8)) {
        expected[stored.block.record.key] = stored;
      }
    }
    images.push_back(ReadFiles(catalog));
  }
  const uint64_t wanted = std::max<uint64_t>(faults_wanted / kCatalogEvery, 20);
  uint64_t made = 0;
  uint64_t found = 0;
  uint64_t rebuilt = 0;
  while (made < wanted) {
    Files files = images[RandomUpTo(random, images.size() - 1)];
    if (!DamageCatalog(files, random)) continue;
    ++made;
    WriteFiles(catalog, files);
    std::vector<SsdEntry> entries;
    const auto tier = OpenSsd(options, &entries);
    rebuilt += tier->usage().catalog_rebuilds;
    std::map<std::string, SsdEntry> latest;
    for (const SsdEntry& entry : entries) latest[entry.record.key] = entry;
    for (const auto& [key, entry] : latest) {
      const auto known = expected.find(key);
      ASSERT_NE(known, expected.end()) << "seed " << seed << ", fault " << made;
      EXPECT_EQ(entry.record, known->second.block.record) << "seed " << seed << ", fault " << made;
      EXPECT_TRUE(Same(ReadNow(*tier, key, entry.location), known->second.block))
          << "seed " << seed << ", fault " << made;
      ++found;
    }
  }
  std::printf("seed %" PRIu64 ": %" PRIu64 " faults in the catalog, %" PRIu64
              " rebuilds, %.1f of %zu entries found on average, none wrong\n",
              seed, made, rebuilt, static_cast<double>(found) / static_cast<double>(made),
              expected.size());
  EXPECT_GT(rebuilt, 0u);
  EXPECT_GT(found, made);
}

}  // namespace
}  // namespace larder::testing

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument.starts_with("--faults=")) {
      larder::testing::faults_wanted = std::strtoull(argv[i] + 9, nullptr, 10);
    } else if (argument.starts_with("--seed=")) {
      larder::testing::seed = std::strtoull(argv[i] + 7, nullptr, 10);
    } else {
      std::fprintf(stderr, "unknown argument %s; known are --faults=N and --seed=N\n", argv[i]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
