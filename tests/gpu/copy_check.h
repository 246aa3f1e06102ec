// Compares the row copy kernel with a plain loop, on a machine (tile_check.h).
#pragma once

#include <string>

#include "kernels/paging/row_copy.h"
#include "tests/gpu/tile_check.h"

namespace larder {

// Rows in the layout of one case to that of another, of the same shape; "" when all bytes are as a loop puts them, those
// between the rows untouched. `first_token`: rows before it stay where they are.
template <typename Machine>
std::string CheckCopy(Machine& machine, const TileCase& from_case, const TileCase& to_case,
                      uint32_t first_token) {
  RawBlocks from(from_case), to(to_case);
  from.Fill();
  std::memset(to.bytes().data(), 0xA5, to.bytes().size());
  auto source = machine.Put(from.bytes());
  auto source_pages = machine.Put(std::as_bytes(std::span(from.pages)));
  auto target = machine.Put(to.bytes());
  auto target_pages = machine.Put(std::as_bytes(std::span(to.pages)));
  RowCopy copy;
  copy.from = from.RowsAt(source.get(), source_pages.get());
  copy.to = to.RowsAt(target.get(), target_pages.get());
  copy.from.first_token = copy.to.first_token = first_token;
  copy.blocks = from_case.blocks;
  copy.streams = from_case.streams;
  copy.heads = from_case.heads;
  copy.tokens = from_case.shape.tokens - first_token;
  copy.row_bytes = from_case.shape.head_dim * 2;
  if (!machine.Copy(copy)) return NameOf(from_case) + ": copy not launched";
  std::vector<std::byte> got(to.bytes().size());
  machine.Get(target, got);
  for (uint32_t at = 0; at < copy.blocks * copy.streams * copy.heads; ++at) {
    const uint32_t block = at / copy.heads / copy.streams, stream = at / copy.heads % copy.streams;
    const TargetRows read = from.Tile(block, stream, at % copy.heads);
    const TargetRows write = to.Tile(block, stream, at % copy.heads);
    for (uint32_t token = first_token; token < from_case.shape.tokens; ++token) {
      std::memcpy(write.Row(token), read.Row(token), copy.row_bytes);
    }
  }
  const std::string difference = DifferenceOf(to.bytes(), got);
  return difference.empty() ? "" : NameOf(from_case) + " to " + NameOf(to_case) + ": " + difference;
}

// Every pair of layouts, of several shapes.
template <typename Machine>
std::string CheckCopies(Machine& machine) {
  for (const uint32_t dim : {64u, 80u, 128u, 576u}) {
    for (uint32_t pair = 0; pair < 36; ++pair) {
      TileCase cases[2];
      for (uint32_t i = 0; i < 2; ++i) {
        const uint32_t layout = i == 0 ? pair % 6 : pair / 6;
        cases[i].shape = {37, dim};
        cases[i].heads = 3;
        cases[i].blocks = 2;
        cases[i].hnd = layout % 2 == 1;
        cases[i].page_tokens = layout / 2 == 0 ? 0 : layout / 2 == 1 ? 16 : 5;
        cases[i].seed = pair * 2 + i;
      }
      const std::string fault = CheckCopy(machine, cases[0], cases[1], pair % 3 == 0 ? 4 : 0);
      if (!fault.empty()) return fault;
    }
  }
  return "";
}

}  // namespace larder
