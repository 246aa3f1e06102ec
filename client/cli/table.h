// Aligned text for a terminal: columns as wide as their widest cell, two spaces between. ASCII
// cells. Thread-compatible.
//
//   Table table({{"tier"}, {"used", Align::kRight}});
//   table.AddRow({"dram", "1.0 GiB"});
//   std::fputs(table.ToString().c_str(), stdout);
#pragma once

#include <string>
#include <vector>

namespace larder::cli {

enum class Align { kLeft, kRight };

struct Column {
  std::string header;
  Align align = Align::kLeft;
};

class Table {
 public:
  // Without any header text the header line is left out.
  explicit Table(std::vector<Column> columns);

  // Missing cells are empty; more cells than columns are our bug and are dropped.
  void AddRow(std::vector<std::string> cells);

  // One line per row, no trailing blanks, each ended by a newline.
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace larder::cli
