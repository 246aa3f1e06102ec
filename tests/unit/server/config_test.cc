#include "server/config.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/config_fields.h"

namespace larder::server {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

absl::StatusOr<std::optional<Config>> FromFlags(std::vector<const char*> flags) {
  flags.insert(flags.begin(), "larderd");
  return ConfigFromCommandLine(static_cast<int>(flags.size()), flags.data());
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// One line per fault after the first.
size_t FaultsIn(const absl::Status& status) {
  const std::string text = MessageOf(status);
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(testing::TempDir() + "config_test_" + std::to_string(::getpid()) + ".yaml") {
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

Config UnusualConfig() {
  return {.listen = "[::1]:0",
          .metrics_listen = "localhost:65535",
          .dram_bytes = (uint64_t{3} << 30) / 2 + 1,
          .dram_huge_pages = true,
          .policy = PolicyKind::kS3Fifo,
          .hbm_bytes = uint64_t{16} << 20,
          .ssd_path = "one,two/three",
          .ssd_bytes = uint64_t{3} << 40,
          .ssd_second_use = true,
          .ssd_write_bytes_per_day = uint64_t{7} << 30,
          .ssd_scrub_bytes_per_second = 0,
          .ssd_staging_bytes = uint64_t{9} << 20,
          .streams_max = 16'384,
          .ingest_bytes_max = uint64_t{256} << 30,
          .stream_idle_timeout = milliseconds(100),
          .leases_max = 17,
          .leases_per_client_max = 3,
          .drain_timeout = milliseconds(0),
          .shm = false,
          .ucx_listen = "127.0.0.1:7442",
          .ucx_transports = "posix,cma",
          .windows_max = 5,
          .windows_per_client_max = 4,
          .window_bytes_max = uint64_t{3} << 20,
          .windows_bytes_max = uint64_t{5} << 20,
          .transport_threads = 7,
          .codec_device = CodecDevice::kGpu,
          .tenants = {{"chat", uint64_t{1} << 30, uint64_t{512} << 20},
                      {"batch", uint64_t{5} << 19, 0},
                      {"a.b-c_d", std::nullopt, uint64_t{1} << 20}},
          .log_level = "trace"};
}

TEST(ConfigTest, AcceptsItsDefaults) { EXPECT_EQ(Config().Validate(), absl::OkStatus()); }

TEST(ConfigTest, SurvivesTheRoundTripThroughYaml) {
  for (const Config& config : {Config(), UnusualConfig()}) {
    const auto parsed = ConfigFromYaml(config.ToYaml(), Config());
    ASSERT_TRUE(parsed.ok()) << parsed.status() << "\n" << config.ToYaml();
    EXPECT_EQ(*parsed, config) << config.ToYaml();
  }
}

TEST(ConfigTest, ShipsAnExampleFileThatHoldsEveryDefault) {
  std::ifstream file(LARDER_EXAMPLE_CONFIG);
  const std::string yaml(std::istreambuf_iterator<char>(file), {});
  for (const ConfigField& field : ConfigFields()) {
    EXPECT_THAT(yaml, HasSubstr("\n" + field.name + ": ")) << "not explained";
  }
  const auto parsed = ConfigFromYaml(yaml, UnusualConfig());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, Config());
}

TEST(ConfigTest, HasAFlagForEveryField) {
  const auto config = FromFlags({"--listen",
                                 "[::1]:0",
                                 "--metrics-listen=localhost:65535",
                                 "--dram-bytes",
                                 "1610612737",
                                 "--dram-huge-pages",
                                 "true",
                                 "--policy",
                                 "s3fifo",
                                 "--hbm-bytes",
                                 "16MiB",
                                 "--ssd-path=one,two/three",
                                 "--ssd-bytes=3TiB",
                                 "--ssd-admission=second_use",
                                 "--ssd-write-bytes-per-day=7GiB",
                                 "--ssd-scrub-bytes-per-second=0",
                                 "--ssd-staging-bytes=9MiB",
                                 "--streams-max",
                                 "16384",
                                 "--ingest-bytes-max",
                                 "256GiB",
                                 "--stream-idle-timeout-ms",
                                 "100",
                                 "--leases-max",
                                 "17",
                                 "--leases-per-client-max",
                                 "3",
                                 "--drain-timeout-ms",
                                 "0",
                                 "--shm=false",
                                 "--ucx-listen=127.0.0.1:7442",
                                 "--ucx-transports=posix,cma",
                                 "--windows-max=5",
                                 "--windows-per-client-max=4",
                                 "--window-bytes-max=3MiB",
                                 "--windows-bytes-max=5MiB",
                                 "--transport-threads=7",
                                 "--codec-device=gpu",
                                 "--tenants",
                                 "chat=reserve_bytes:512MiB+quota_bytes:1GiB,batch=quota_bytes:"
                                 "2560KiB,a.b-c_d=reserve_bytes:1MiB",
                                 "--log-level",
                                 "trace"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(**config, UnusualConfig());
}

TEST(ConfigTest, LetsFlagsWinOverTheFile) {
  const TemporaryFile file("dram_bytes: 2GiB\npolicy: s3fifo\nstreams_max: 7\n");
  const auto config = FromFlags({"--streams-max", "9", "--config", file.path()});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ((*config)->dram_bytes, uint64_t{2} << 30);
  EXPECT_EQ((*config)->policy, PolicyKind::kS3Fifo);
  EXPECT_EQ((*config)->streams_max, 9u);
  EXPECT_EQ((*config)->log_level, "info");
}

TEST(ConfigTest, ReportsFaultsOfFileAndFlagsAtOnce) {
  const TemporaryFile file("dram_byte: 2GiB\npolicy: [lru]\nstreams_max: -1\nleases_max: 0\n");
  const auto config =
      FromFlags({"--config", file.path(), "--listen", "0.0.0.0:80", "--drain-timeout-ms", "10s"});
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string text = MessageOf(config.status());
  EXPECT_THAT(text, StartsWith("7 configuration faults:\n"));
  const std::string path = file.path();
  EXPECT_THAT(text, HasSubstr(path + ":1: dram_byte: found"));
  EXPECT_THAT(text, HasSubstr("did you mean dram_bytes?"));
  EXPECT_THAT(
      text, HasSubstr(path + ":2: policy: found 'a list', expected one of lru, s3fifo, lfuda"));
  EXPECT_THAT(
      text,
      HasSubstr(path + ":3: streams_max: found '-1', expected a whole number from 1 to 16384"));
  EXPECT_THAT(text, HasSubstr("leases_max: found '0', expected a whole number from 1 to 16777216"));
  EXPECT_THAT(text,
              HasSubstr("leases_per_client_max: found '4096', expected at most leases_max (0)"));
  EXPECT_THAT(text, HasSubstr("listen: found '0.0.0.0:80', expected a loopback address"));
  EXPECT_THAT(text, HasSubstr("--drain-timeout-ms: found '10s', expected whole milliseconds"));
}

TEST(ConfigTest, AcceptsEveryBoundAndRefusesTheNext) {
  struct Case {
    const char* field;
    const char* below;
    const char* lowest;
    const char* highest;
    const char* above;
  };
  for (const Case& c : std::vector<Case>{
           {"dram_bytes", "16777215", "16MiB", "511GiB", "548682072065"},
           {"hbm_bytes", "16777215", "16MiB", "511GiB", "548682072065"},
           {"hbm_bytes", "1", "0", "0", "16777215"},
           {"ssd_bytes", "16777215", "16MiB", "1024TiB", "1125899906842625"},
           {"ssd_staging_bytes", "1048575", "1MiB", "511GiB", "548682072065"},
           {"streams_max", "0", "1", "16384", "16385"},
           {"ingest_bytes_max", "1048575", "1MiB", "511GiB", "548682072065"},
           {"stream_idle_timeout_ms", "99", "100", "600000", "600001"},
           {"windows_max", "7", "8", "16384", "16385"},  // >= windows_per_client_max
           {"windows_per_client_max", "0", "1", "256", "257"},
           {"window_bytes_max", "1048575", "1MiB", "64GiB", "68719476737"},
           {"windows_bytes_max", "4294967295", "4GiB", "1TiB", "1099511627777"},
           {"transport_threads", "0", "1", "64", "65"},
           {"leases_max", "4095", "4096", "16777216", "16777217"},  // >= leases_per_client_max
           {"leases_per_client_max", "0", "1", "4096", "4097"},
           {"drain_timeout_ms", "-1", "0", "600000", "600001"}}) {
    const auto parse = [&](const char* value) {
      return ConfigFromYaml(std::string(c.field) + ": " + value, Config()).status();
    };
    EXPECT_EQ(parse(c.lowest), absl::OkStatus());
    EXPECT_EQ(parse(c.highest), absl::OkStatus());
    for (const char* outside : {c.below, c.above}) {
      EXPECT_EQ(parse(outside).code(), absl::StatusCode::kInvalidArgument) << c.field << outside;
      EXPECT_EQ(FaultsIn(parse(outside)), 1u) << parse(outside);
      EXPECT_THAT(MessageOf(parse(outside)), AllOf(HasSubstr(c.field), HasSubstr("expected ")));
    }
  }
}

TEST(ConfigTest, RefusesSsdDirectoriesThatAreEmptyOrTwice) {
  const auto parse = [](const char* paths) {
    return ConfigFromYaml(std::string("ssd_path: \"") + paths + "\"", Config()).status();
  };
  EXPECT_EQ(parse(""), absl::OkStatus());
  EXPECT_EQ(parse("a,b"), absl::OkStatus());
  for (const char* wrong : {"a,", ",a", "a,,b", "a,b,a"}) {
    EXPECT_EQ(parse(wrong).code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(ConfigTest, RefusesToListenBeyondLoopback) {
  for (const char* good :
       {"127.0.0.1:0", "127.255.0.9:65535", "[::1]:80", "[0:0:0:0:0:0:0:1]:80", "localhost:7440"}) {
    Config config;
    config.listen = good;
    EXPECT_EQ(config.Validate(), absl::OkStatus()) << good;
  }
  for (const char* bad : {"",
                          ":",
                          ":80",
                          "127.0.0.1",
                          "127.0.0.1:",
                          "127.0.0.1:65536",
                          "127.0.0.1:-1",
                          "127.0.0.1:+1",
                          "127.0.0.1: 80",
                          "127.0.0.1:80 ",
                          "127.0.0.1:80s",
                          "127.0.0.1:80,0.0.0.0:80",
                          "0.0.0.0:80",
                          "10.0.0.1:80",
                          "128.0.0.1:80",
                          "126.255.255.255:80",
                          "127.1:80",
                          "0x7f000001:80",
                          "[::]:80",
                          "[::2]:80",
                          "::1:80",
                          "[::1:80",
                          "::1]:80",
                          "[]:80",
                          "[127.0.0.1]:80",
                          "[::ffff:127.0.0.1]:80",
                          "[::1%lo]:80",
                          "*:80",
                          "localhost.evil.example:80",
                          "LOCALHOST :80",
                          "unix:/tmp/x:1"}) {
    for (const auto member : {&Config::listen, &Config::metrics_listen}) {
      Config config;
      config.*member = bad;
      const absl::Status status = config.Validate();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
      EXPECT_EQ(FaultsIn(status), 1u) << status;
      EXPECT_THAT(MessageOf(status), HasSubstr("no mTLS yet")) << bad;
    }
  }
}

TEST(ConfigTest, RefusesOnePortForBothServices) {
  Config config;
  config.metrics_listen = config.listen;
  EXPECT_THAT(MessageOf(config.Validate()), HasSubstr("metrics_listen"));
  config.listen = config.metrics_listen = "127.0.0.1:0";  // two free ports
  EXPECT_EQ(config.Validate(), absl::OkStatus());
}

TEST(ConfigTest, RefusesWrongTypesWithTheirLine) {
  struct Case {
    const char* yaml;
    const char* expected;
  };
  for (const Case& c : std::vector<Case>{
           {"\n\nstreams_max: many", "yaml:3: streams_max: found 'many', expected a whole number"},
           {"streams_max: 1.5", "yaml:1: streams_max: found '1.5'"},
           {"streams_max: 0x10", "found '0x10'"},
           {"streams_max: 4294967296", "found '4294967296'"},
           {"streams_max:", "found 'nothing'"},
           {"streams_max: ~", "found 'nothing'"},
           {"streams_max: {a: 1}", "found 'a map'"},
           {"\nlisten: [127.0.0.1, 80]", "yaml:2: listen: found 'a list', expected a loopback"},
           {"dram_huge_pages: yes", "found 'yes', expected one of false, true"},
           {"policy: LRU", "found 'LRU', expected one of lru, s3fifo, lfuda"},
           {"codec_device: cuda", "found 'cuda', expected one of auto, cpu, gpu"},
           {"log_level: loud", "found 'loud', expected one of trace, debug, info, warn, error"},
           {"dram_bytes: 1GB", "found '1GB', expected a size from 16MiB to 511GiB"},
           {"stream_idle_timeout_ms: 10s", "found '10s', expected whole milliseconds"},
           {"[1]: 2", "yaml:1: a list: found"},
           {"- listen", "yaml:1: found 'a list', expected lines of 'field: value'"},
           {"listen", "expected lines of 'field: value'"},
           {"listen: 127.0.0.1:0\nlisten: 127.0.0.1:1", "yaml:2: listen: found 'a second value'"},
           {"policy: lru\n---\npolicy: s3fifo", "found 'a second document'"},
           {"policy: lru\npolicy: 'lru", "yaml:"},
           {"\tpolicy: lru", "yaml:1: found"},
           {"policy: *unknown", "expected YAML"}}) {
    const auto config = ConfigFromYaml(c.yaml, Config());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << c.yaml;
    EXPECT_THAT(MessageOf(config.status()), HasSubstr(c.expected)) << c.yaml;
    EXPECT_EQ(FaultsIn(config.status()), 1u) << config.status();
  }
}

TEST(ConfigTest, NamesTheNearestFieldOnlyWhenItIsNear) {
  struct Case {
    const char* field;
    const char* advice;
  };
  for (const Case& c :
       std::vector<Case>{{"dram-bytes", "did you mean dram_bytes?"},
                         {"Listen", "did you mean listen?"},
                         {"metric_listen", "did you mean metrics_listen?"},
                         {"stream_idle_timeout", "did you mean stream_idle_timeout_ms?"},
                         {"polcy", "did you mean policy?"},
                         {"hugging_face", "see larderd --help"},
                         {"x", "see larderd --help"}}) {
    const auto config = ConfigFromYaml(std::string(c.field) + ": 1", Config());
    EXPECT_THAT(MessageOf(config.status()), HasSubstr(c.advice)) << c.field;
  }
}

TEST(ConfigTest, TakesAnEmptyFileAsDefaults) {
  for (const char* yaml : {"", "\n", "# nothing but a comment\n", "---\n", "{}"}) {
    const auto config = ConfigFromYaml(yaml, UnusualConfig());
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(*config, UnusualConfig()) << yaml;
  }
}

TEST(ConfigTest, SurvivesHostileYaml) {
  std::mt19937 random(20'240'601);
  const std::string pieces[] = {
      "listen", ": ", "\n", "[",  "]", "{",          "}",    "'",  "\"", "&a ", "*a",   "- ",
      "!!int ", "|",  ">",  "? ", "~", "dram_bytes", "1GiB", "\t", "%",  "<<",  "\xff", "---"};
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string yaml;
    for (uint32_t n = random() % 12; n > 0; --n) yaml += pieces[random() % std::size(pieces)];
    const auto config = ConfigFromYaml(yaml, Config());
    if (!config.ok()) {
      ++refused;
      ASSERT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << yaml;
    } else {
      ASSERT_EQ(config->Validate(), absl::OkStatus()) << yaml;
    }
  }
  EXPECT_GT(refused, 10'000);
  EXPECT_FALSE(ConfigFromYaml(std::string(100'000, '['), Config()).ok());
}

TEST(ConfigTest, RefusesBadCommandLines) {
  struct Case {
    std::vector<const char*> flags;
    const char* expected;
  };
  for (const Case& c : std::vector<Case>{{{"--dram-byte", "1GiB"}, "--dram-byte"},
                                         {{"stray"}, "stray"},
                                         {{"--listen"}, "--listen"},
                                         {{"--policy", "lru", "--policy", "s3fifo"}, "--policy"}}) {
    const auto config = FromFlags(c.flags);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(MessageOf(config.status()),
                AllOf(HasSubstr(c.expected), HasSubstr("see larderd --help")));
  }
}

TEST(ConfigTest, RefusesAFileItCanNotRead) {
  const TemporaryFile large(std::string(kConfigFileBytesMax + 1, '#'));
  const std::string directory = testing::TempDir();
  for (const char* path : {"/no/such/file.yaml", directory.c_str(), large.path(), ""}) {
    const auto config = FromFlags({"--config", path, "--streams-max", "0"});
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_THAT(MessageOf(config.status()), HasSubstr("--config: found '")) << path;
    EXPECT_EQ(FaultsIn(config.status()), 2u) << config.status();
  }
}

TEST(ConfigTest, AnswersHelpAndVersionOnStdout) {
  testing::internal::CaptureStdout();
  const auto help = FromFlags({"--help"});
  const std::string text = testing::internal::GetCapturedStdout();
  ASSERT_TRUE(help.ok()) << help.status();
  EXPECT_FALSE(help->has_value());
  EXPECT_THAT(text,
              AllOf(HasSubstr("Examples:"), HasSubstr("--config"), HasSubstr("16MiB to 511GiB")));
  for (const ConfigField& field : ConfigFields()) EXPECT_THAT(text, HasSubstr(field.flag()));

  testing::internal::CaptureStdout();
  const auto version = FromFlags({"--version"});
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "larderd " LARDER_VERSION "\n");
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_FALSE(version->has_value());
}

TEST(ConfigTest, KeepsFaultsPrintableAndShort) {
  const auto config =
      ConfigFromYaml("policy: \"a\\nb\\e[31m" + std::string(5'000, 'x') + "\"", Config());
  EXPECT_EQ(FaultsIn(config.status()), 1u) << "a line break of the value escaped";
  EXPECT_THAT(MessageOf(config.status()), Not(HasSubstr("\x1b")));
  EXPECT_LT(config.status().message().size(), 300u);
}

TEST(ParseBytesTest, ReadsExactSizes) {
  struct Case {
    const char* text;
    std::optional<uint64_t> bytes;
  };
  for (const Case& c : std::vector<Case>{{"0", 0},
                                         {"4096", 4096},
                                         {"4096B", 4096},
                                         {"1KiB", 1024},
                                         {"512MiB", uint64_t{512} << 20},
                                         {"1.5GiB", uint64_t{3} << 29},
                                         {"0.5KiB", 512},
                                         {"1.50TiB", uint64_t{3} << 39},
                                         {"0.0009765625KiB", 1},
                                         {"18446744073709551615", UINT64_MAX},
                                         {"16777215TiB", uint64_t{16777215} << 40},
                                         {"16777215.5TiB", (uint64_t{33554431} << 39)},
                                         {"16777216TiB", std::nullopt},
                                         {"18446744073709551616", std::nullopt},
                                         {"18446744073709551615KiB", std::nullopt},
                                         {"99999999999999999999GiB", std::nullopt},
                                         {"0.3KiB", std::nullopt},
                                         {"1.5", std::nullopt},
                                         {"1.5B", std::nullopt},
                                         {"1.0000000000000000000GiB", std::nullopt},
                                         {"", std::nullopt},
                                         {"B", std::nullopt},
                                         {"GiB", std::nullopt},
                                         {".5GiB", std::nullopt},
                                         {"1.GiB", std::nullopt},
                                         {"1..5GiB", std::nullopt},
                                         {"1.-5GiB", std::nullopt},
                                         {"-1", std::nullopt},
                                         {"+1", std::nullopt},
                                         {" 1", std::nullopt},
                                         {"1 GiB", std::nullopt},
                                         {"1GB", std::nullopt},
                                         {"1G", std::nullopt},
                                         {"1gib", std::nullopt},
                                         {"1e9", std::nullopt},
                                         {"0x10", std::nullopt},
                                         {"1,5GiB", std::nullopt},
                                         {"1GiBB", std::nullopt},
                                         {"inf", std::nullopt}}) {
    EXPECT_EQ(ParseBytes(c.text), c.bytes) << c.text;
  }
}

TEST(ParseBytesTest, InvertsFormatBytes) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t bytes = (random() >> (random() % 64)) << (random() % 41);
    ASSERT_EQ(ParseBytes(FormatBytes(bytes)), bytes) << FormatBytes(bytes);
  }
  EXPECT_EQ(FormatBytes(0), "0");
  EXPECT_EQ(FormatBytes(1023), "1023");
  EXPECT_EQ(FormatBytes(uint64_t{3} << 29), "1536MiB");
}

}  // namespace
}  // namespace larder::server
