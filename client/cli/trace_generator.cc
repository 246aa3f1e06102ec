#include "client/cli/trace_generator.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "client/cli/random.h"

namespace larder::cli {
namespace {

constexpr double kThinkSecondsMean = 45;
constexpr double kDecodeSecondsPerToken = 0.025;
constexpr uint64_t kMessageTokensMax = 64 * kTraceBlockTokens;
constexpr uint64_t kContextTokensMax = 128 * 1024;  // what the modelled service accepts
constexpr uint64_t kIdUnset = ~uint64_t{0};

struct SystemPrompt {
  uint64_t tokens = 0;
  std::vector<uint64_t> full_blocks;  // ids, or kIdUnset until first used
};

struct Conversation {
  double next_seconds = 0;
  size_t prompt = 0;
  uint64_t turns_left = 0;
  uint64_t tokens = 0;                // said so far
  std::vector<uint64_t> full_blocks;  // ids of full blocks so far, the prompt's included
};

struct Later {
  bool operator()(const Conversation& a, const Conversation& b) const {
    return a.next_seconds > b.next_seconds;
  }
};

uint64_t DrawTokens(Random& random, double median, double sigma) {
  const double tokens = std::round(random.LogNormal(median, sigma));
  return static_cast<uint64_t>(std::clamp(tokens, 1.0, static_cast<double>(kMessageTokensMax)));
}

// Zipf with exponent 1 over [0, n).
size_t DrawZipf(Random& random, size_t n) {
  double all = 0;
  for (size_t i = 0; i < n; ++i) all += 1.0 / static_cast<double>(i + 1);
  double at = random.Uniform() * all;
  for (size_t i = 0; i + 1 < n; ++i) {
    at -= 1.0 / static_cast<double>(i + 1);
    if (at < 0) return i;
  }
  return n - 1;
}

class Generator {
 public:
  explicit Generator(const TraceGeneratorOptions& options)
      : options_(options), random_(options.seed), prompts_(std::max(1u, options.system_prompts)) {
    for (SystemPrompt& prompt : prompts_) {
      prompt.tokens = kTraceBlockTokens + random_.Below(7 * kTraceBlockTokens + 1);
      prompt.full_blocks.assign(prompt.tokens / kTraceBlockTokens, kIdUnset);
    }
  }

  std::vector<TraceRequest> Generate() {
    std::vector<TraceRequest> requests;
    std::priority_queue<Conversation, std::vector<Conversation>, Later> waiting;
    waiting.push(Start(0));
    double start_seconds = 0;
    const double start_gap_mean = options_.turns_mean / options_.requests_per_second;
    while (requests.size() < options_.requests) {
      // The next conversation is always among the waiting, so arrivals and turns come in order of
      // time.
      Conversation conversation = waiting.top();
      waiting.pop();
      if (conversation.next_seconds >= start_seconds) {
        start_seconds += random_.Exponential(start_gap_mean);
        waiting.push(Start(start_seconds));
      }
      requests.push_back(Speak(conversation));
      if (conversation.turns_left > 0 && conversation.tokens < kContextTokensMax) {
        waiting.push(std::move(conversation));
      }
    }
    return requests;
  }

 private:
  Conversation Start(double seconds) {
    Conversation conversation;
    conversation.next_seconds = seconds;
    conversation.prompt = DrawZipf(random_, prompts_.size());
    conversation.tokens = prompts_[conversation.prompt].tokens;
    conversation.turns_left =
        1 + static_cast<uint64_t>(random_.Exponential(1) / -std::log1p(-1 / options_.turns_mean));
    return conversation;
  }

  // One turn: the request, and the conversation after its answer.
  TraceRequest Speak(Conversation& conversation) {
    TraceRequest request;
    const uint64_t input = conversation.tokens + DrawTokens(random_, 350, 1.2);
    const uint64_t output = DrawTokens(random_, 250, 0.8);
    request.timestamp_ms = static_cast<uint64_t>(conversation.next_seconds * 1000);
    request.input_tokens = static_cast<uint32_t>(input);
    request.output_tokens = static_cast<uint32_t>(output);

    SystemPrompt& prompt = prompts_[conversation.prompt];
    while (conversation.full_blocks.size() < input / kTraceBlockTokens) {
      const size_t index = conversation.full_blocks.size();
      if (index >= prompt.full_blocks.size()) {
        conversation.full_blocks.push_back(next_id_++);
        continue;
      }
      uint64_t& shared = prompt.full_blocks[index];
      if (shared == kIdUnset) shared = next_id_++;
      conversation.full_blocks.push_back(shared);
    }
    request.hash_ids = conversation.full_blocks;
    if (input % kTraceBlockTokens != 0) request.hash_ids.push_back(next_id_++);

    conversation.tokens = input + output;
    --conversation.turns_left;
    conversation.next_seconds += static_cast<double>(output) * kDecodeSecondsPerToken +
                                 random_.Exponential(kThinkSecondsMean);
    return request;
  }

  const TraceGeneratorOptions options_;
  Random random_;
  std::vector<SystemPrompt> prompts_;
  uint64_t next_id_ = 0;
};

}  // namespace

std::vector<TraceRequest> GenerateTrace(const TraceGeneratorOptions& options) {
  return Generator(options).Generate();
}

}  // namespace larder::cli
