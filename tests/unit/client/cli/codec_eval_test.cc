#include "client/cli/codec_eval.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "client/cli/codec_list.h"
#include "client/cli/codec_report.h"
#include "client/cli/kv_profile.h"

namespace larder::cli {
namespace {

// Scores on a small cache of a profile, measured once.
class Scores {
 public:
  explicit Scores(KvProfile profile) {
    const KvProfileOptions options{.profile = profile, .layers = 1, .heads = 4};
    cache_ = MakeKv(options);
    eval_.emplace(
        *CodecEval::Create(cache_, {.rope = RopeOf(options), .queries = 48, .repeats = 0}));
  }
  const CodecScore& operator[](const std::string& name) {
    const auto [at, added] = scores_.try_emplace(name);
    if (added) {
      std::string why;
      const auto plan = ParsePlan(name, &why);
      EXPECT_TRUE(plan) << why;
      const auto score = eval_->Score(*plan);
      EXPECT_TRUE(score.ok()) << score.status();
      at->second = *score;
    }
    return at->second;
  }

 private:
  KvCache cache_;
  std::optional<CodecEval> eval_;
  std::map<std::string, CodecScore> scores_;
};

TEST(CodecEvalTest, ExactCodecsHaveNoError) {
  Scores scores(KvProfile::kKeysB);
  for (const char* name : {"raw", "lossless"}) {
    const CodecScore& score = scores[name];
    EXPECT_EQ(score.fidelity, Fidelity::kExact);
    EXPECT_EQ(score.errors.key_relative_mse, 0);
    EXPECT_EQ(score.errors.output_error, 0);
    EXPECT_EQ(score.errors.top1_agreement, 1);
  }
  EXPECT_EQ(scores["raw"].bits, 16);
  EXPECT_LT(scores["raw"].ratio, 1);  // the frame's header
  EXPECT_LT(scores["lossless"].bits, 12);
}

TEST(CodecEvalTest, CountsEveryBitOfMetadata) {
  Scores scores(KvProfile::kGaussian);
  EXPECT_DOUBLE_EQ(scores["q8_0"].bits, 8.5);
  EXPECT_DOUBLE_EQ(scores["turbo3"].bits, 3.125);
  EXPECT_DOUBLE_EQ(scores["turbo3+centre"].key_bits, 3.125 + 16.0 / 256);
  EXPECT_DOUBLE_EQ(scores["turbo3+centre"].value_bits, 3.125);
  EXPECT_DOUBLE_EQ(scores["kivi2_g32"].bits, 3);
  EXPECT_NEAR(scores["turbo3"].errors.value_relative_mse, 0.0352, 0.0352 * 0.03);
  EXPECT_NEAR(scores["q4_0"].errors.value_relative_mse, 0.00737, 0.00737 * 0.03);
  EXPECT_EQ(scores["q4_0"].fallback_streams, 0u);
}

TEST(CodecEvalTest, CentringHelpsKeysWithOutlierChannels) {
  Scores b(KvProfile::kKeysB);
  for (const char* name : {"e4m3", "q4_0+rotate", "turbo3_plain", "turbo3"}) {
    const AttentionScores plain = b[name].errors;
    const AttentionScores centred = b[std::string(name) + "+centre"].errors;
    EXPECT_LT(centred.key_relative_mse, plain.key_relative_mse / 2.5) << name;
    EXPECT_LT(centred.key_output_error, plain.key_output_error * 0.75) << name;
  }
  Scores a(KvProfile::kKeysA);
  EXPECT_LT(a["turbo3+centre"].errors.key_relative_mse, a["turbo3"].errors.key_relative_mse * 1.05);
}

TEST(CodecEvalTest, UnbiasedScaleCutsOutputErrorThoughNotMse) {
  Scores a(KvProfile::kKeysA);
  EXPECT_GT(a["turbo3"].errors.key_relative_mse, a["turbo3_plain"].errors.key_relative_mse);
  EXPECT_LT(a["turbo3"].errors.key_output_error, a["turbo3_plain"].errors.key_output_error * 0.85);
}

TEST(CodecEvalTest, TwoRotatedBitsBeatThreeAffineOnes) {
  for (const KvProfile profile : {KvProfile::kKeysA, KvProfile::kKeysB}) {
    Scores scores(profile);
    const CodecScore& turbo = scores["turbo2+centre"];
    const CodecScore& kivi = scores["kivi2_g32"];
    EXPECT_LT(turbo.bits, kivi.bits);
    EXPECT_LT(turbo.errors.key_relative_mse, kivi.errors.key_relative_mse);
    EXPECT_LT(turbo.errors.logit_rmse, kivi.errors.logit_rmse);
    EXPECT_LT(turbo.errors.key_output_error, kivi.errors.key_output_error);
    EXPECT_LT(turbo.errors.output_error, kivi.errors.output_error);
  }
}

TEST(CodecEvalTest, RangesAlongTokensSuitKeysWithOutlierChannels) {
  Scores scores(KvProfile::kKeysB);
  const CodecScore& along_tokens = scores["kivi4_g128"];
  const CodecScore& along_channels = scores["q4_0"];
  EXPECT_LT(along_tokens.bits, along_channels.bits);
  EXPECT_LT(along_tokens.errors.key_relative_mse, along_channels.errors.key_relative_mse / 3);
  EXPECT_LT(along_tokens.errors.key_output_error, along_channels.errors.key_output_error * 0.75);
}

TEST(CodecEvalTest, TheScaleBeatsTheSketchAtFewerBits) {
  Scores scores(KvProfile::kKeysA);
  EXPECT_LT(scores["turbo3+centre"].bits, scores["turbo_prod3+centre"].bits);
  EXPECT_LT(scores["turbo3+centre"].errors.key_output_error,
            scores["turbo_prod3+centre"].errors.key_output_error / 1.5);
}

TEST(CodecEvalTest, RefusesValuesThatAreNotFinite) {
  KvCache cache = MakeKv({.layers = 1, .heads = 1, .tokens = 16});
  cache.keys[0][0] = 0x7F80;
  EXPECT_EQ(CodecEval::Create(cache, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CodecListTest, ListsEveryNameOnce) {
  const auto codecs = ListCodecs();
  ASSERT_TRUE(codecs.ok()) << codecs.status();
  ASSERT_EQ(codecs->size(), Presets().size() + Formats().size());
  std::map<std::string, CodecListing> by_name;
  for (const CodecListing& codec : *codecs) {
    EXPECT_TRUE(by_name.try_emplace(codec.name, codec).second) << codec.name;
    EXPECT_GT(codec.key_bits, 0.5) << codec.name;
    EXPECT_LE(codec.key_bits, 16.5) << codec.name;
  }
  EXPECT_EQ(by_name["fp8"].plan, "e4m3+centre/e4m3");
  EXPECT_EQ(by_name["fp8"].needs, "RoPE");
  EXPECT_EQ(by_name["q8q4"].bits, "K 8.5; V 4.5");
  EXPECT_EQ(by_name["q8q4"].needs, "-");
  EXPECT_DOUBLE_EQ(by_name["turbo4"].key_bits, 4.125);
  EXPECT_EQ(CodecListJson(*codecs)["codecs"].size(), codecs->size());
  EXPECT_NE(CodecListText(*codecs).find("balanced"), std::string::npos);
}

TEST(CodecReportTest, SortsByBitsAndDrawsEveryCodec) {
  CodecReport report{.source = "a < b", .bytes = 1024, .copy_bytes_per_second = 1e9};
  for (const char* name : {"wide", "narrow"}) {
    CodecScore score;
    score.name = name;
    score.bits = report.scores.empty() ? 16 : 2;
    score.errors.output_error = report.scores.empty() ? 0 : 0.25;
    report.scores.push_back(score);
  }
  report.scores[1].fallback_streams = 3;
  SortByBits(report.scores);
  EXPECT_EQ(report.scores[0].name, "narrow");
  const std::string text = CodecReportText(report);
  EXPECT_LT(text.find("narrow"), text.find("wide"));
  EXPECT_NE(text.find("3 streams stand raw"), std::string::npos);
  EXPECT_EQ(CodecReportJson(report)["codecs"][0]["output_error"], 0.25);
  const std::string svg = CodecReportSvg(report);
  EXPECT_NE(svg.find(">narrow</text>"), std::string::npos);
  EXPECT_NE(svg.find(">wide</text>"), std::string::npos);
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace larder::cli
