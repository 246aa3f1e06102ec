#include "kernels/codec/device/run_setup.h"

#include <gtest/gtest.h>

#include "kernels/codec/registry.h"
#include "tests/gpu/tile_check.h"

namespace larder {
namespace {

StreamCodec CodecOf(const char* name) {
  std::string why;
  return ParsePlan(name, &why)->key;
}

TileCase CaseOf(const char* name, TileShape shape) {
  TileCase tile_case;
  tile_case.codec = CodecOf(name);
  tile_case.shape = shape;
  return tile_case;
}

alignas(16) uint8_t memory[64];

TileRun Prepared() {
  TileRun run = RunOf(CaseOf("q4_0", {32, 64}));
  RunSetup(run, 0).Attach(nullptr, &run);
  run.rows.base = run.tiles.base = memory;
  run.refused = reinterpret_cast<uint32_t*>(memory);
  return run;
}

TEST(RunSetupTest, KnowsTheSizeOfATile) {
  const RunSetup setup(RunOf(CaseOf("q4_0", {32, 64})), 0);
  EXPECT_TRUE(setup.holds());
  EXPECT_EQ(setup.tile_bytes(), 32u * 64 / 32 * 18);
  EXPECT_TRUE(setup.image().empty());
}

TEST(RunSetupTest, HoldsEveryFormatButRaw) {
  for (const FormatRow& row : Formats()) {
    for (const StreamCodec& codec : {row.key, row.value}) {
      TileCase tile_case;
      tile_case.codec = codec;
      tile_case.shape = {64, 128};
      const bool coded = codec.id != CodecId::kRaw;
      EXPECT_EQ(RunSetup(RunOf(tile_case), 0).holds(), coded) << row.name;
    }
  }
}

TEST(RunSetupTest, HoldsNothingThatTheCodecOrTheDeviceDoesNotTake) {
  EXPECT_FALSE(RunSetup(RunOf(CaseOf("q4_0", {32, 60})), 0).holds());
  EXPECT_FALSE(RunSetup(RunOf(CaseOf("q4_0", {0, 64})), 0).holds());
  EXPECT_FALSE(RunSetup(RunOf(CaseOf("q4_0", {32, 2048})), 0).holds());
  TileRun run = RunOf(CaseOf("q4_0", {32, 64}));
  run.dtype = Dtype::kFp32;
  EXPECT_FALSE(RunSetup(run, 0).holds());
  run = RunOf(CaseOf("q4_0", {32, 64}));
  run.id = CodecId::kRaw;
  EXPECT_FALSE(RunSetup(run, 0).holds());
}

TEST(RunSetupTest, ShipsTheAnglesOfTheRun) {
  TileCase tile_case = CaseOf("fp8", {3, 64});
  tile_case.codec = WithStages(tile_case.codec, kTransformUnrope, 1, 64);
  TileRun run = RunOf(tile_case);
  const RunSetup setup(run, 7);
  EXPECT_FALSE(RunSetup(run, kRopePositionsMax).holds());
  setup.Attach(setup.image().data(), &run);
  const RopeTable rope(run.params, 7, 3);
  for (uint32_t token = 0; token < 3; ++token) {
    for (uint32_t pair = 0; pair < 32; ++pair) {
      EXPECT_EQ(run.tables.cosines[token * 32 + pair], rope.Cosines(token)[pair]);
      EXPECT_EQ(run.tables.sines[token * 32 + pair], rope.Sines(token)[pair]);
    }
  }
}

TEST(RunSetupTest, PlacesAreAPermutationOfEachLayer) {
  TileRun run = RunOf(CaseOf("turbo4", {3, 96}));
  const RunSetup setup(run, 0);
  setup.Attach(setup.image().data(), &run);
  ASSERT_NE(run.tables.places, nullptr);
  for (uint32_t stream = 0; stream < run.streams; ++stream) {
    std::vector<int> seen(96);
    for (uint32_t i = 0; i < 96; ++i) ++seen[run.tables.places[stream * 96 + i]];
    EXPECT_EQ(seen, std::vector<int>(96, 1));
  }
}

TEST(RunSetupTest, RunHoldsOnlyWithEveryPointerAndAlignedStrides) {
  EXPECT_TRUE(RunHolds(Prepared(), /*encode=*/true));
  const auto holds = [](auto change) {
    TileRun run = Prepared();
    change(run);
    return RunHolds(run, /*encode=*/true);
  };
  EXPECT_FALSE(holds([](TileRun& run) { run.rows.base = nullptr; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.tiles.base = nullptr; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.refused = nullptr; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.tile_bytes = 0; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.blocks = 0; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.rows.token_stride = 24; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.tiles.head_stride = 8; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.tiles.base += 2; }));
  EXPECT_FALSE(holds([](TileRun& run) { run.params.transform = kTransformUnrope; }));
  TileRun decode = Prepared();
  decode.refused = nullptr;
  EXPECT_TRUE(RunHolds(decode, /*encode=*/false));
}

}  // namespace
}  // namespace larder
