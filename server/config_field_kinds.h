// The kinds of configuration fields: how each parses, prints and checks its values. Private to the
// configuration; config_fields.cc has the fields.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/config_fields.h"

namespace larder::server {

struct ListenAddress {
  std::string_view host;
  uint16_t port;
};

// "127.0.0.1:80", "[::1]:80", "localhost:80".
std::optional<ListenAddress> ParseListen(std::string_view text);

// A loopback address.
ConfigField AddressField(std::string name, std::string help, std::string Config::*member);
// Bytes; both bounds inclusive, as in the fields below.
ConfigField SizeField(std::string name, std::string help, uint64_t Config::*member, uint64_t min,
                      uint64_t max);
ConfigField CountField(std::string name, std::string help, uint32_t Config::*member, uint32_t min,
                       uint32_t max);
ConfigField MillisecondsField(std::string name, std::string help,
                              std::chrono::milliseconds Config::*member,
                              std::chrono::milliseconds min, std::chrono::milliseconds max);
// One of a few words; `set` gets the word's position.
ConfigField WordField(std::string name, std::string help, std::vector<std::string> words,
                      std::function<std::string(const Config&)> get,
                      std::function<void(size_t, Config&)> set);
ConfigField SwitchField(std::string name, std::string help, bool Config::*member);
// Text that `holds` says is good or not.
ConfigField TextField(std::string name, std::string placeholder, std::string help,
                      std::string expected, std::string advice, std::string Config::*member,
                      bool (*holds)(std::string_view));

// The fields of how blocks are stored (config_codec.cc).
std::vector<ConfigField> CodecFields();

}  // namespace larder::server
