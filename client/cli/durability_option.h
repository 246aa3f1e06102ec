// The option --durability of commands that put.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "client/client.h"

namespace larder::cli {

// `durability` must outlive the parsing.
inline void AddDurability(CLI::App& command, Durability& durability) {
  static const std::map<std::string, Durability> kWords = {{"memory", Durability::kMemory},
                                                           {"ssd", Durability::kSsd}};
  command
      .add_option_function<std::string>(
          "--durability",
          [&durability](const std::string& word) { durability = kWords.at(word); },
          "When a put is answered: once it is readable (memory), or once it survives kill -9 (ssd)")
      ->check(CLI::IsMember({"memory", "ssd"}))
      ->default_str("memory");
}

}  // namespace larder::cli
