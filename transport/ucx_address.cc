#include "transport/ucx_address.h"

#include <arpa/inet.h>

#include <charconv>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"

namespace larder::transport {

absl::StatusOr<sockaddr_in> ParseAddress(const std::string& text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  // No digits, or too many, leave an error; other characters something behind.
  const auto whole_port = [&] {
    const auto [behind, error] = std::from_chars(text.data() + colon + 1, end, port);
    return error == std::errc() && behind == end;
  };
  if (colon == std::string::npos || !whole_port() ||
      ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return InvalidField("ucx address", text, "IPv4:PORT");
  }
  address.sin_port = htons(port);
  return address;
}

std::string AddressText(const sockaddr_storage& storage) {
  const auto& address = reinterpret_cast<const sockaddr_in&>(storage);
  char text[INET_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
  return absl::StrCat(text, ":", ntohs(address.sin_port));
}

}  // namespace larder::transport
