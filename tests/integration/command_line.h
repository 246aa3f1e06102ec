// Arguments of a test program beside GoogleTest's own: --name=value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
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

// Whether every argument is one of `flags`, which end in '=' or are whole words; says which is not.
inline bool AllKnown(int argc, char** argv, std::initializer_list<std::string_view> flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    const bool known = std::any_of(flags.begin(), flags.end(), [&](std::string_view flag) {
      return flag.ends_with('=') ? argument.starts_with(flag) : argument == flag;
    });
    if (known) continue;
    std::fprintf(stderr, "unknown argument %s\n", argv[i]);
    return false;
  }
  return true;
}

}  // namespace larder::testing
