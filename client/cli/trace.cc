#include "client/cli/trace.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "proto/contract/errors.h"
#include "proto/contract/limits.h"

namespace larder::cli {
namespace {

constexpr uint64_t kTokensMax = uint64_t{kLookupHashesMax} * kTraceBlockTokens;

// Where a fault is: "conversation.jsonl:17 hash_ids".
std::string Place(std::string_view name, size_t line, std::string_view field) {
  return std::string(name) + ":" + std::to_string(line) + " " + std::string(field);
}

absl::StatusOr<uint64_t> ReadNumber(const nlohmann::json& object, const char* key, uint64_t max,
                                    std::string_view name, size_t line) {
  const auto found = object.find(key);
  if (found == object.end()) return InvalidField(Place(name, line, key), "nothing", "a number");
  if (!found->is_number_unsigned() || found->get<uint64_t>() > max) {
    return InvalidField(Place(name, line, key), found->dump(),
                        "an integer from 0 to " + std::to_string(max));
  }
  return found->get<uint64_t>();
}

absl::StatusOr<std::vector<uint64_t>> ReadIds(const nlohmann::json& object, uint64_t input_tokens,
                                              std::string_view name, size_t line) {
  const std::string place = Place(name, line, "hash_ids");
  const auto found = object.find("hash_ids");
  if (found == object.end() || !found->is_array()) {
    return InvalidField(place, "no array", "an array with one id per 512 tokens of input");
  }
  const uint64_t blocks = (input_tokens + kTraceBlockTokens - 1) / kTraceBlockTokens;
  if (found->size() > blocks) {
    return InvalidField(
        place, std::to_string(found->size()) + " ids",
        "at most one per 512 tokens of input_length, here " + std::to_string(blocks));
  }
  std::vector<uint64_t> ids;
  ids.reserve(found->size());
  for (const nlohmann::json& id : *found) {
    if (!id.is_number_unsigned()) return InvalidField(place, id.dump(), "integers from 0");
    ids.push_back(id.get<uint64_t>());
  }
  return ids;
}

absl::StatusOr<TraceRequest> ReadRequest(std::string_view text, std::string_view name,
                                         size_t line) {
  const nlohmann::json object =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidField(Place(name, line, "line"), "text that is not a JSON object",
                        "{\"timestamp\", \"input_length\", \"output_length\", \"hash_ids\"}");
  }
  const auto timestamp = ReadNumber(object, "timestamp", uint64_t{1} << 53, name, line);
  if (!timestamp.ok()) return timestamp.status();
  const auto input = ReadNumber(object, "input_length", kTokensMax, name, line);
  if (!input.ok()) return input.status();
  const auto output = ReadNumber(object, "output_length", kTokensMax, name, line);
  if (!output.ok()) return output.status();
  auto ids = ReadIds(object, *input, name, line);
  if (!ids.ok()) return ids.status();
  return TraceRequest{*timestamp, static_cast<uint32_t>(*input), static_cast<uint32_t>(*output),
                      *std::move(ids)};
}

// Nodes of the tree of all prefixes: equal numbers mean equal chains from the first block on,
// whatever the ids claim.
class PrefixTree {
 public:
  static constexpr uint64_t kRoot = 0;

  // The child of `parent` for `id`, and whether it is new.
  std::pair<uint64_t, bool> Step(uint64_t parent, uint64_t id) {
    const auto [node, added] = nodes_.try_emplace({parent, id}, nodes_.size() + 1);
    return {node->second, added};
  }
  uint64_t size() const { return nodes_.size(); }

 private:
  absl::flat_hash_map<std::pair<uint64_t, uint64_t>, uint64_t> nodes_;
};

}  // namespace

absl::StatusOr<std::vector<TraceRequest>> ReadTrace(std::istream& in, std::string_view name,
                                                    size_t requests_max) {
  requests_max = std::min(requests_max, kTraceRequestsMax);
  std::vector<TraceRequest> requests;
  std::vector<char> buffer(kTraceLineBytesMax);
  for (size_t line = 1; requests.size() < requests_max; ++line) {
    in.getline(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    if (in.eof() && in.gcount() == 0) break;
    if (in.fail()) {
      return InvalidField(Place(name, line, "line"), "a line that is too long or unreadable",
                          "at most " + std::to_string(kTraceLineBytesMax) + " bytes");
    }
    const auto newline_bytes = static_cast<std::streamsize>(in.eof() ? 0 : 1);
    const std::string_view text(buffer.data(), static_cast<size_t>(in.gcount() - newline_bytes));
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto request = ReadRequest(text, name, line);
    if (!request.ok()) return request.status();
    if (!requests.empty() && request->timestamp_ms < requests.back().timestamp_ms) {
      return InvalidField(Place(name, line, "timestamp"), std::to_string(request->timestamp_ms),
                          "no less than the line before: sort the trace by time");
    }
    requests.push_back(*std::move(request));
  }
  return requests;
}

absl::StatusOr<std::vector<TraceRequest>> ReadTraceFile(const std::string& path,
                                                        size_t requests_max) {
  std::ifstream file(path);
  if (!file) return NotFound("trace file", path);
  return ReadTrace(file, path, requests_max);
}

void WriteTrace(std::span<const TraceRequest> requests, std::ostream& out) {
  for (const TraceRequest& request : requests) {
    const nlohmann::ordered_json line = {{"timestamp", request.timestamp_ms},
                                         {"input_length", request.input_tokens},
                                         {"output_length", request.output_tokens},
                                         {"hash_ids", request.hash_ids}};
    out << line.dump() << "\n";
  }
}

uint32_t TokensOfBlock(const TraceRequest& request, size_t index) {
  const uint64_t begin = uint64_t{index} * kTraceBlockTokens;
  if (begin >= request.input_tokens) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(kTraceBlockTokens, request.input_tokens - begin));
}

TraceFacts FactsOf(std::span<const TraceRequest> requests) {
  TraceFacts facts;
  PrefixTree tree;
  for (const TraceRequest& request : requests) {
    ++facts.requests;
    facts.blocks += request.hash_ids.size();
    facts.query_tokens += request.input_tokens;
    uint64_t node = PrefixTree::kRoot;
    for (size_t i = 0; i < request.hash_ids.size(); ++i) {
      const auto [next, added] = tree.Step(node, request.hash_ids[i]);
      node = next;
      // A child of a new node is new, so the hits are exactly the leading ones.
      if (added) continue;
      ++facts.ideal_hit_blocks;
      facts.ideal_hit_tokens += TokensOfBlock(request, i);
    }
  }
  facts.unique_blocks = tree.size();
  return facts;
}

std::vector<uint32_t> TurnsOf(std::span<const TraceRequest> requests) {
  constexpr size_t kConversationBlocksMin = 2;
  std::vector<uint32_t> turns;
  turns.reserve(requests.size());
  PrefixTree tree;
  absl::flat_hash_map<uint64_t, uint32_t> turn_at_end;  // node of a request's last full block
  for (const TraceRequest& request : requests) {
    const size_t full =
        std::min<size_t>(request.hash_ids.size(), request.input_tokens / kTraceBlockTokens);
    uint32_t turn = 1;
    uint64_t node = PrefixTree::kRoot;
    uint64_t last_full = PrefixTree::kRoot;
    for (size_t i = 0; i < request.hash_ids.size(); ++i) {
      node = tree.Step(node, request.hash_ids[i]).first;
      const auto earlier = turn_at_end.find(node);
      if (earlier != turn_at_end.end()) turn = earlier->second + 1;
      if (i + 1 == full) last_full = node;
    }
    turns.push_back(turn);
    if (full >= kConversationBlocksMin) turn_at_end[last_full] = turn;
  }
  return turns;
}

}  // namespace larder::cli
