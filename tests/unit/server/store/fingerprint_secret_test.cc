#include "server/store/fingerprint_secret.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace larder::server {
namespace {

class FingerprintSecretTest : public ::testing::Test {
 protected:
  FingerprintSecretTest() {
    std::string name = ::testing::TempDir() + "/secretXXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~FingerprintSecretTest() override { std::filesystem::remove_all(directory_); }
  std::string file() const { return directory_ + "/fingerprint-secret"; }

  std::string directory_;
};

TEST_F(FingerprintSecretTest, IsMadeOnceAndReadEverAfter) {
  const auto made = SecretOf(directory_, /*may_make=*/true);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(*SecretOf(directory_, /*may_make=*/true), *made);
  std::filesystem::remove(file());
  EXPECT_FALSE(SecretOf(directory_, /*may_make=*/false).ok());  // beside blocks that it named
  EXPECT_NE(*SecretOf(directory_, /*may_make=*/true), *made);
}

TEST_F(FingerprintSecretTest, ADamagedOneIsRefused) {
  ASSERT_TRUE(SecretOf(directory_, /*may_make=*/true).ok());
  const auto size = std::filesystem::file_size(file());
  for (const size_t at : {size_t{0}, size_t{8}, size_t{size - 1}}) {
    std::fstream stream(file(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(stream.get() ^ 1);
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(byte);
    stream.close();
    EXPECT_FALSE(SecretOf(directory_, /*may_make=*/true).ok()) << at;
    std::fstream undo(file(), std::ios::in | std::ios::out | std::ios::binary);
    undo.seekp(static_cast<std::streamoff>(at));
    undo.put(static_cast<char>(byte ^ 1));
  }
  EXPECT_TRUE(SecretOf(directory_, /*may_make=*/true).ok());
  std::filesystem::resize_file(file(), size - 1);
  EXPECT_FALSE(SecretOf(directory_, /*may_make=*/true).ok());
}

TEST_F(FingerprintSecretTest, ADirectoryThatIsNotThereIsAnError) {
  EXPECT_EQ(SecretOf(directory_ + "/absent", /*may_make=*/true).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace larder::server
