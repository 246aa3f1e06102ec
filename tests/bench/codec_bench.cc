// Encode and decode of every codec on one core, beside memcpy of the same bytes in the same run.
//
// Tiles of T tokens x D channels of bf16, Gaussian, over a working set larger than the last-level
// cache; medians over rounds in which all take turns, so that drift of the machine hits all alike.
// GB = 1e9 bytes of bf16, read by the encoder or written by the decoder. "frame" rows are whole
// frames through BlockCoder: transforms, checksums and all, and the copy into memory that the server
// keeps (its slabs; memory fresh from the system would cost a fault for each page).
#include <sched.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "kernels/codec/block_coder.h"
#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

struct BenchOptions {
  uint32_t tokens = 256;
  uint32_t head_dim = 128;
  uint64_t bytes = uint64_t{96} << 20;
  int rounds = 5;
  int core = 0;
  std::string formats;
  std::string plans = "fp8,q8q4,balanced";
  bool hnd = false;
  std::string json_path;
};

struct Row {
  std::string name;
  std::vector<double> encode, decode;  // GB/s of each round
  double bits = 0;
};

// Seconds of this thread's processor time: what other processes take of the core does not count.
double Now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void PinTo(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) std::perror("sched_setaffinity");
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

class CodecBench {
 public:
  explicit CodecBench(const BenchOptions& options)
      : options_(options),
        shape_{options.tokens, options.head_dim},
        tiles_(options.bytes / (shape_.elements() * 2)),
        source_(tiles_ * shape_.elements()),
        target_(source_.size()) {
    // One tile of noise, repeated with a shift: values matter to no kernel's speed but rANS's, whose
    // statistics a shift keeps.
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    const size_t period = std::min<size_t>(source_.size(), (1 << 20) + 7);
    for (size_t i = 0; i < period; ++i) source_[i] = Bf16OfFloat(normal(random));
    for (size_t i = period; i < source_.size(); ++i) source_[i] = source_[i - period];
  }

  // One round of a format's keys: every tile once.
  void RunTiles(const StreamCodec& codec, Row& row) {
    const TileCodec& tile_codec = *FindTileCodec(codec.id);
    if (!tile_codec.Accepts(codec.params, shape_)) return;
    const TileContext context{codec.params};
    const uint64_t bytes_max = (tile_codec.BytesMax(codec.params, shape_) + 63) / 64 * 64;
    encoded_.resize(std::max<size_t>(encoded_.size(), tiles_ * bytes_max));
    std::vector<uint64_t> sizes(tiles_);
    const double start = Now();
    for (size_t i = 0; i < tiles_; ++i) {
      sizes[i] = tile_codec
                     .Encode(context, shape_, RowsAt<const std::byte>(source_.data(), i),
                             workspace_, encoded_.data() + i * bytes_max)
                     .value_or(0);
    }
    const double middle = Now();
    uint64_t total = 0;
    for (size_t i = 0; i < tiles_; ++i) {
      const std::span<const std::byte> in(encoded_.data() + i * bytes_max, sizes[i]);
      if (!tile_codec.Decode(context, shape_, in, workspace_,
                             RowsAt<std::byte>(target_.data(), i))) {
        std::abort();
      }
      total += sizes[i];
    }
    Add(row, middle - start, Now() - middle);
    row.bits = static_cast<double>(total) * 8 / static_cast<double>(source_.size());
  }

  // One round of a plan: whole frames of 8 layers and 8 heads.
  void RunFrames(const CodecPlan& plan, Row& row) {
    KvShape shape;
    shape.kind = GroupKind::kAttention;
    shape.dtype = Dtype::kBf16;
    shape.axis_order = options_.hnd ? AxisOrder::kHnd : AxisOrder::kNhd;
    shape.layers = 8;
    shape.kv_heads = 8;
    shape.head_dim_k = shape.head_dim_v = options_.head_dim;
    shape.tokens = options_.tokens;
    BlockRecipe recipe;
    recipe.plan = plan;
    recipe.rope = {
        .pairing = 1, .rotary_dim = static_cast<uint16_t>(options_.head_dim), .theta = 500'000};
    FrameIdentity identity;
    identity.prefix_hash_bytes = 32;
    identity.token_begin = options_.tokens;
    const uint64_t raw_bytes = RawBytes(shape).value();
    const size_t blocks = source_.size() * 2 / raw_bytes;
    const auto raw = std::as_bytes(std::span(source_));
    const auto out = std::as_writable_bytes(std::span(target_));
    double encode = 0, decode = 0, stored = 0;
    for (size_t i = 0; i < blocks; ++i) {
      const double start = Now();
      const EncodedParts parts =
          coder_.EncodeParts(recipe, identity, shape, raw.subspan(i * raw_bytes, raw_bytes));
      const auto frame = Keep(parts);
      const double middle = Now();
      FrameView view;
      if (FrameView::Parse(frame, &view) != FrameFault::kNone) std::abort();
      FrameVerifier verifier(view);
      verifier.Update(frame.subspan(view.header().header_bytes));
      if (verifier.Finish() != FrameFault::kNone ||
          !DecodeFrame(coder_, view, frame, out.subspan(i * raw_bytes, raw_bytes))) {
        std::abort();
      }
      encode += middle - start;
      decode += Now() - middle;
      stored += static_cast<double>(frame.size());
    }
    const double scale = static_cast<double>(source_.size()) * 2 /
                         (static_cast<double>(blocks) * static_cast<double>(raw_bytes));
    Add(row, encode * scale, decode * scale);
    row.bits = stored * 16 / (static_cast<double>(blocks) * static_cast<double>(raw_bytes));
  }

  void RunCopy(Row& row) {
    const double start = Now();
    std::memcpy(target_.data(), source_.data(), source_.size() * 2);
    const double middle = Now();
    std::memcpy(target_.data(), source_.data(), source_.size() * 2);
    Add(row, middle - start, Now() - middle);
    row.bits = 16;
  }

 private:
  template <typename Byte, typename Element>
  TileRows<Byte> RowsAt(Element* base, size_t tile) const {
    TileRows<Byte> rows;
    rows.base = reinterpret_cast<Byte*>(base + tile * shape_.elements());
    rows.token_stride = ptrdiff_t{2} * shape_.head_dim;
    return rows;
  }
  std::span<const std::byte> Keep(const EncodedParts& parts) {
    const size_t bytes = parts.header.size() + parts.payload.size();
    frame_.resize(std::max(frame_.size(), bytes));
    std::memcpy(frame_.data(), parts.header.data(), parts.header.size());
    std::memcpy(frame_.data() + parts.header.size(), parts.payload.data(), parts.payload.size());
    return std::span(frame_).first(bytes);
  }
  void Add(Row& row, double encode_seconds, double decode_seconds) const {
    const double gigabytes = static_cast<double>(source_.size()) * 2 / 1e9;
    row.encode.push_back(gigabytes / encode_seconds);
    row.decode.push_back(gigabytes / decode_seconds);
  }

  const BenchOptions options_;
  const TileShape shape_;
  const size_t tiles_;
  std::vector<uint16_t> source_, target_;
  std::vector<std::byte> encoded_;
  std::vector<std::byte> frame_;
  Workspace workspace_;
  BlockCoder coder_;
};

// What others reach on one core of the same kind of processor (AVX-512, 2 MiB of L2, 32 MiB of L3),
// beside memcpy in their own run: absolute figures of two runs do not compare, ratios do.
struct Peer {
  const char* name;
  double encode, decode, copy;  // GB/s of bf16
  const char* source;
};

constexpr char kGgml[] = "ggml 0.21.0 (d99724f), -march=native, fp32, 256 MiB of bf16";
constexpr char kPlain[] = "plain AVX-512 intrinsics, bf16, groups of 32, 256 MiB";
constexpr Peer kPeers[] = {
    {"peer ggml q8_0", 11.0, 11.8, 18, kGgml},
    {"peer ggml q4_0", 1.4, 5.3, 18, kGgml},
    {"peer int8", 18.9, 23, 18, kPlain},
    {"peer int4", 16.0, 26, 18, kPlain},
};

void PrintPeers() {
  for (const Peer& peer : kPeers) {
    std::printf("%-22s %8s %14.2f %8.2f %14.2f %8.2f  %s\n", peer.name, "", peer.encode,
                peer.encode / peer.copy, peer.decode, peer.decode / peer.copy, peer.source);
  }
}

void Print(const std::vector<Row>& rows, const std::string& json_path) {
  const Row& copy = rows.front();
  nlohmann::ordered_json report = nlohmann::ordered_json::array();
  std::printf("%-22s %8s %14s %8s %14s %8s\n", "codec", "bits/el", "encode [GB/s]", "/memcpy",
              "decode [GB/s]", "/memcpy");
  for (const Row& row : rows) {
    if (row.encode.empty()) continue;
    const double encode = Median(row.encode), decode = Median(row.decode);
    const double base = Median(copy.decode);
    std::printf("%-22s %8.3f %14.2f %8.2f %14.2f %8.2f\n", row.name.c_str(), row.bits, encode,
                encode / base, decode, decode / base);
    report.push_back({{"codec", row.name},
                      {"bits_per_element", row.bits},
                      {"encode_gb_per_second", encode},
                      {"decode_gb_per_second", decode},
                      {"encode_over_memcpy", encode / base},
                      {"decode_over_memcpy", decode / base}});
  }
  PrintPeers();
  if (!json_path.empty()) std::ofstream(json_path) << report.dump(2) << "\n";
}

int Main(int argc, char** argv) {
  CLI::App app("Speed of the codecs on one core, beside memcpy");
  BenchOptions options;
  app.add_option("--tokens", options.tokens, "Tokens of a tile")->capture_default_str();
  app.add_option("--head-dim", options.head_dim, "Channels of a tile")->capture_default_str();
  app.add_option("--bytes", options.bytes, "Working set; larger than the last-level cache")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Rounds; medians are shown")->capture_default_str();
  app.add_option("--core", options.core, "Core to stay on")->capture_default_str();
  app.add_option("--formats", options.formats, "Only these, NAME,NAME; default all");
  app.add_option("--plans", options.plans, "Whole frames of these plans")->capture_default_str();
  app.add_flag("--hnd", options.hnd, "Frames of head-major blocks, whose rows stand together");
  app.add_option("--json", options.json_path, "Write the figures as JSON");
  CLI11_PARSE(app, argc, argv);
  PinTo(options.core);

  CodecBench bench(options);
  const std::vector<std::string> wanted = Split(options.formats);
  std::vector<Row> rows = {{"memcpy", {}, {}, 0}};
  std::vector<std::pair<size_t, StreamCodec>> tiles;
  std::vector<std::pair<size_t, CodecPlan>> frames;
  for (const FormatRow& format : Formats()) {
    const bool chosen =
        wanted.empty() || std::find(wanted.begin(), wanted.end(), format.name) != wanted.end();
    if (!chosen || format.key.id == CodecId::kRaw) continue;
    const bool alike = format.key == format.value;
    tiles.emplace_back(rows.size(), format.key);
    rows.push_back({std::string(format.name) + (alike ? "" : " keys"), {}, {}, 0});
    if (alike) continue;
    tiles.emplace_back(rows.size(), format.value);
    rows.push_back({std::string(format.name) + " values", {}, {}, 0});
  }
  for (const std::string& name : Split(options.plans)) {
    std::string why;
    const auto plan = ParsePlan(name, &why);
    if (!plan) {
      std::fprintf(stderr, "codec_bench: %s\n", why.c_str());
      return 2;
    }
    frames.emplace_back(rows.size(), *plan);
    rows.push_back({"frame " + name, {}, {}, 0});
  }
  for (int round = 0; round <= options.rounds; ++round) {
    bench.RunCopy(rows[0]);
    for (const auto& [row, codec] : tiles) bench.RunTiles(codec, rows[row]);
    for (const auto& [row, plan] : frames) bench.RunFrames(plan, rows[row]);
    if (round > 0) continue;
    for (Row& row : rows) row.encode.clear(), row.decode.clear();  // the first one touches memory
  }
  Print(rows, options.json_path);
  return 0;
}

}  // namespace
}  // namespace larder

int main(int argc, char** argv) { return larder::Main(argc, argv); }
