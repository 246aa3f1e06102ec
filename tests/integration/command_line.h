// Arguments of a test program beside GoogleTest's own: --name=value.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace larder::testing {

// The value of the last argument that starts with `flag` ("--requests=").
inline std::optional<std::string> ArgumentOf(int argc, char** argv, std::string_view flag) {
  std::optional<std::string> value;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument.starts_with(flag)) value = argument.substr(flag.size());
  }
  return value;
}

inline uint64_t NumberOf(int argc, char** argv, std::string_view flag, uint64_t otherwise) {
  const auto text = ArgumentOf(argc, argv, flag);
  return text ? std::strtoull(text->c_str(), nullptr, 10) : otherwise;
}

}  // namespace larder::testing
