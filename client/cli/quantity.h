// Numbers as people read them. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace larder::cli {

std::string FormatCount(uint64_t count);  // "182,790"
std::string FormatBytes(uint64_t bytes);  // "32.0 KiB"; whole bytes below 1 KiB
std::string FormatBytesPerSecond(
    double rate);  // "3.65 GB/s", decimal as NIC vendors count
std::string FormatPercent(double part, double all);  // "36.64 %"; "-" when `all` is zero
std::string FormatSeconds(double seconds);           // "431 us", "2.31 ms", "17.2 s", "1 h 02 min"

}  // namespace larder::cli
