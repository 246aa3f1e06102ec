#include "client/cli/quantity.h"

#include <array>

#include "absl/strings/str_format.h"

namespace larder::cli {

std::string FormatCount(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatBytesPerSecond(double rate) {
  if (rate >= 1e9) return absl::StrFormat("%.2f GB/s", rate / 1e9);
  if (rate >= 1e6) return absl::StrFormat("%.1f MB/s", rate / 1e6);
  return absl::StrFormat("%.1f KB/s", rate / 1e3);
}

std::string FormatPercent(double part, double all) {
  if (all == 0) return "-";
  return absl::StrFormat("%.2f %%", 100 * part / all);
}

std::string FormatSeconds(double seconds) {
  if (seconds < 1e-3) return absl::StrFormat("%.0f us", seconds * 1e6);
  if (seconds < 1) return absl::StrFormat("%.2f ms", seconds * 1e3);
  if (seconds < 120) return absl::StrFormat("%.1f s", seconds);
  const auto minutes = static_cast<uint64_t>(seconds / 60);
  if (minutes < 60) return absl::StrFormat("%d min %02.0f s", minutes, seconds - 60.0 * minutes);
  return absl::StrFormat("%d h %02d min", minutes / 60, minutes % 60);
}

}  // namespace larder::cli
