#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/str_format.h"
#include "client/cli/codec_report.h"

namespace larder::cli {
namespace {

constexpr double kWidth = 960, kHeight = 600;
constexpr double kLeft = 70, kRight = 30, kTop = 40, kBottom = 60;
constexpr double kBitsMin = 0.9, kBitsMax = 18;  // of the axis
constexpr int kBitsTicks[] = {1, 2, 3, 4, 6, 8, 12, 16};
constexpr int kLabelRowsMax = 24;  // that a label may stand above or below its point
constexpr double kGlyphWidth = 6.3, kLabelHeight = 12;  // of the labels' 11 px sans-serif

std::string Escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

struct Box {
  double x = 0, y = 0, width = 0, height = 0;
  bool Overlaps(const Box& other) const {
    return x < other.x + other.width && other.x < x + width && y < other.y + other.height &&
           other.y < y + height;
  }
};

// Bits to x and error to y, both logarithmic: decades of error from `low` to `high`.
struct Axes {
  int low = 0;
  int high = 0;

  double X(double bits) const {
    const double share =
        std::log2(std::max(bits, kBitsMin) / kBitsMin) / std::log2(kBitsMax / kBitsMin);
    return kLeft + share * (kWidth - kLeft - kRight);
  }
  double Y(double error) const {
    const double share = (std::log10(error) - low) / (high - low);
    return kHeight - kBottom - share * (kHeight - kTop - kBottom);
  }
};

Axes AxesOf(const std::vector<CodecScore>& scores) {
  Axes axes;
  for (const CodecScore& score : scores) {
    const double error = score.errors.output_error;
    if (error <= 0) continue;
    axes.low = std::min(axes.low, static_cast<int>(std::floor(std::log10(error))));
    axes.high = std::max(axes.high, static_cast<int>(std::ceil(std::log10(error))));
  }
  --axes.low;  // the bottom line is for no error at all
  return axes;
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                         Escape(text));
}

std::string Line(double x1, double y1, double x2, double y2, const char* colour) {
  return absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n",
                         x1, y1, x2, y2, colour);
}

std::string Grid(const Axes& axes) {
  std::string svg;
  const double bottom = kHeight - kBottom;
  for (int decade = axes.low; decade <= axes.high; ++decade) {
    const double y = axes.Y(std::pow(10.0, decade));
    svg += Line(kLeft, y, kWidth - kRight, y, "#ddd");
    svg += Text(kLeft - 8, y + 4, "end",
                decade == axes.low ? "0" : absl::StrFormat("%g", std::pow(10.0, decade)));
  }
  for (const int bits : kBitsTicks) {
    svg += Line(axes.X(bits), kTop, axes.X(bits), bottom, "#ddd");
    svg += Text(axes.X(bits), bottom + 16, "middle", std::to_string(bits));
  }
  svg += Text((kLeft + kWidth - kRight) / 2, kHeight - 20, "middle",
              "bits per element, keys and values, all metadata counted");
  svg += absl::StrFormat(
      "<text transform=\"translate(18 %.1f) rotate(-90)\" text-anchor=\"middle\">relative error of "
      "the attention output</text>\n",
      (kTop + bottom) / 2);
  return svg;
}

// Beside, above or below the point, where no other label or point is; beside it when all are taken.
Box PlaceLabel(double x, double y, size_t glyphs, const std::vector<Box>& taken) {
  const double width = kGlyphWidth * static_cast<double>(glyphs);
  std::optional<Box> first;
  for (int row = 0; row < kLabelRowsMax; ++row) {
    for (const double side : {7.0, -7.0 - width}) {
      for (const int sign : {1, -1}) {
        const Box box{x + side, y - kLabelHeight / 2 + sign * row * kLabelHeight * 0.75, width,
                      kLabelHeight};
        if (!first) first = box;
        const bool inside = box.x > kLeft && box.x + box.width < kWidth && box.y > kTop / 2 &&
                            box.y + box.height < kHeight - kBottom + kLabelHeight;
        if (inside && std::ranges::none_of(taken, [&](const Box& b) { return b.Overlaps(box); })) {
          return box;
        }
      }
    }
  }
  return *first;
}

}  // namespace

std::string CodecReportSvg(const CodecReport& report) {
  const Axes axes = AxesOf(report.scores);
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" "
      "font-size=\"11\" fill=\"#333\">\n<rect width=\"%g\" height=\"%g\" fill=\"#fff\"/>\n",
      kWidth, kHeight, kWidth, kHeight);
  svg += Text(kLeft, 20, "start", report.source);
  svg += Grid(axes);
  struct Point {
    double x, y;
    const CodecScore* score;
  };
  std::vector<Point> points;
  std::vector<Box> taken;
  for (const CodecScore& score : report.scores) {
    const double error = score.errors.output_error;
    const double x = axes.X(score.bits);
    const double y = error > 0 ? axes.Y(error) : kHeight - kBottom;
    points.push_back({x, y, &score});
    taken.push_back({x - 4, y - 4, 8, 8});
  }
  for (const Point& point : points) {
    svg += absl::StrFormat("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#2563a8\"/>\n", point.x,
                           point.y);
    const std::string& name = point.score->name;
    const Box box = PlaceLabel(point.x, point.y, name.size(), taken);
    const double middle = box.y + kLabelHeight / 2;
    if (std::abs(middle - point.y) > kLabelHeight) {
      svg += Line(point.x, point.y, box.x < point.x ? box.x + box.width : box.x, middle, "#bbb");
    }
    taken.push_back(box);
    svg += Text(box.x, box.y + kLabelHeight - 2, "start", name);
  }
  return svg + "</svg>\n";
}

}  // namespace larder::cli
