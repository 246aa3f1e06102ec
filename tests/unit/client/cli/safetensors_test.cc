#include "client/cli/safetensors.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "client/cli/kv_profile.h"
#include "client/cli/kv_safetensors.h"

namespace larder::cli {
namespace {

using ::testing::HasSubstr;

// A file of this header text and so many tensor bytes.
std::vector<std::byte> FileOf(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> file(8 + header.size() + data_bytes);
  const uint64_t header_bytes = header.size();
  std::memcpy(file.data(), &header_bytes, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

std::string TempPath(const std::string& name) {
  return testing::TempDir() + "/larder-" + std::to_string(getpid()) + "-" + name;
}

TEST(SafetensorsTest, ReadsAFileOfTwoTensors) {
  const auto read = ParseSafetensors(
      FileOf(R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":)"
             R"([0,12]},"a":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}   )",
             16),
      "x");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->metadata.at("format"), "pt");
  EXPECT_EQ(read->tensors.at("b").shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(read->BytesOf(read->tensors.at("a")).size(), 4u);
  EXPECT_EQ(read->BytesOf(read->tensors.at("a")).data(), read->file.data() + read->file.size() - 4);
}

TEST(SafetensorsTest, RefusesMalformedFiles) {
  const struct {
    const char* header;
    size_t data_bytes;
    const char* why;
  } kCases[] = {
      {"", 0, "does not begin with {"},
      {"[]", 0, "does not begin with {"},
      {"{", 0, "not a JSON object"},
      {R"({"a":1})", 0, "'a': not exactly"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2],"more":1}})", 2, "not exactly"},
      {R"({"a":{"dtype":"F16","shape":[-1],"data_offsets":[0,2]}})", 2, "a shape"},
      {R"({"a":{"dtype":"F16","shape":[1.0],"data_offsets":[0,2]}})", 2, "a shape"},
      {R"({"a":{"dtype":"F16","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,2]}})", 2, "a shape"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[2,0]}})", 2, "data_offsets"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,3]}})", 2, "data_offsets"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0]}})", 2, "data_offsets"},
      {R"({"a":{"dtype":"F12","shape":[1],"data_offsets":[0,2]}})", 2, "unknown"},
      {R"({"a":{"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,2]}})", 2,
       "too large"},
      {R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,2]}})", 2, "make 4"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[2,4]}})", 4, "holes"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", 4, "fill the file"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},)"
       R"("b":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})",
       2, "overlap"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},)"
       R"("a":{"dtype":"F16","shape":[1],"data_offsets":[2,4]}})",
       4, "twice"},
      {R"({"__metadata__":{"a":1}})", 0, "__metadata__"},
  };
  for (const auto& test : kCases) {
    const auto status =
        ParseSafetensors(FileOf(test.header, test.data_bytes), "kv.safetensors").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << test.header;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.why)) << test.header;
    EXPECT_THAT(std::string(status.message()), HasSubstr("kv.safetensors"));
  }
}

TEST(SafetensorsTest, RefusesHeadersLargerThanTheFile) {
  for (const uint64_t bytes : {uint64_t{3}, kSafetensorsHeaderBytesMax + 1, ~uint64_t{0}}) {
    std::vector<std::byte> file = FileOf("{}", 0);
    std::memcpy(file.data(), &bytes, 8);
    EXPECT_EQ(ParseSafetensors(file, "x").status().code(), absl::StatusCode::kInvalidArgument);
  }
  for (size_t size = 0; size < 8; ++size) {
    EXPECT_FALSE(ParseSafetensors(std::vector<std::byte>(size), "x").ok());
  }
}

TEST(SafetensorsTest, EveryCutOfAFileIsRefused) {
  const std::vector<std::byte> file =
      FileOf(R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})", 2);
  ASSERT_TRUE(ParseSafetensors(file, "x").ok());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(
        ParseSafetensors({file.begin(), file.begin() + static_cast<long>(size)}, "x").ok());
  }
}

TEST(KvSafetensorsTest, RoundTripsACache) {
  KvCache cache = MakeKv({.layers = 2, .heads = 2, .head_dim = 16, .tokens = 5});
  cache.layer_begin = 9;  // names sort otherwise than numbers
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kFp16}) {
    cache.dtype = dtype;
    const std::string path = TempPath("kv.safetensors");
    ASSERT_TRUE(WriteKv(cache, path).ok());
    const auto read = ReadKv(path, cache.token_begin);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, cache);
    EXPECT_EQ(ReadSafetensors(path)->data_begin % 64, 0u);
    std::filesystem::remove(path);
  }
  EXPECT_EQ(ReadKv(TempPath("missing"), 0).status().code(), absl::StatusCode::kNotFound);
}

TEST(KvSafetensorsTest, RefusesOtherTensors) {
  const SafetensorsEntry good{.dtype = "BF16", .shape = {1, 1, 2}, .offset = 0, .bytes = 4};
  Safetensors pair;
  pair.file.resize(4);
  pair.tensors = {{"layers.3.k", good}, {"layers.3.v", good}};
  ASSERT_TRUE(KvOfSafetensors(pair, "x", 0).ok());
  EXPECT_EQ(KvOfSafetensors(pair, "x", 0)->layer_begin, 3u);

  const auto refused = [](Safetensors file) {
    return KvOfSafetensors(file, "x", 0).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({}));
  for (const char* name : {"layers.4.q", "layers.04.k", "layers.-1.k", "layers.4.k.x", "k",
                           "layers.4294967296.k", "layers.5.v"}) {
    Safetensors file = pair;
    file.tensors[name] = good;
    EXPECT_TRUE(refused(file)) << name;
    file.tensors["layers.5.k"] = good;  // an even number of tensors, a layer missing
    EXPECT_TRUE(refused(file)) << name;
  }
  for (const std::vector<uint64_t>& shape :
       {std::vector<uint64_t>{2}, {1, 1, 0}, {1, 2, 1}, {2, 1, 1}, {1, 1, 2, 1}}) {
    Safetensors file = pair;
    file.tensors["layers.3.v"].shape = shape;
    if (shape.size() == 3 && shape[0] == 1 && shape[1] == 1 && shape[2] > 0) continue;
    EXPECT_TRUE(refused(file)) << testing::PrintToString(shape);
  }
  Safetensors file = pair;
  file.tensors["layers.3.v"].dtype = "F16";
  EXPECT_TRUE(refused(file));
  for (auto& [name, entry] : file.tensors) entry.dtype = "F8_E4M3";
  EXPECT_TRUE(refused(file));
}

}  // namespace
}  // namespace larder::cli
