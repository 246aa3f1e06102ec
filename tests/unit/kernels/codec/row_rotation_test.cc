#include "kernels/codec/row_rotation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace larder {
namespace {

TEST(SeededWordTest, IsSplitMix64) {
  // First outputs of SplitMix64 with state 1234567, as its authors' program prints them.
  EXPECT_EQ(SeededWord(1234567, 0), 6457827717110365317ull);
  EXPECT_EQ(SeededWord(1234567, 1), 3203168211198807973ull);
}

TEST(RowRotationTest, KeepsLengthsAndTurnsBackInBothForms) {
  for (const RotationKind kind : {RotationKind::kHadamard, RotationKind::kHaar}) {
    for (const uint32_t dim : {16u, 80u, 96u, 128u, 256u}) {
      std::vector<float> rows[2];
      for (const Isa isa : {Isa::kScalar, Isa::kSimd}) {
        RowRotation rotation;
        rotation.Prepare(kind, 3, dim);
        auto& y = rows[isa == Isa::kSimd];
        y.resize(size_t{5} * dim);
        for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i % 13) - 5;
        const std::vector<float> x = y;
        rotation.Rotate(isa, y.data(), 5);
        double before = 0, after = 0;
        for (size_t i = 0; i < dim; ++i) before += x[i] * x[i], after += y[i] * y[i];
        // A part of the channels keeps its share of the energy only on average.
        const double slack = kind == RotationKind::kHaar || (dim & (dim - 1)) == 0 ? 1e-5 : 1.0;
        EXPECT_NEAR(after / (before * dim), 1, slack) << dim;
        std::vector<float> back = y;
        rotation.RotateBack(isa, back.data(), 5);
        for (size_t i = 0; i < back.size(); ++i) ASSERT_NEAR(back[i], x[i], 1e-4) << dim;
      }
      EXPECT_EQ(rows[0], rows[1]) << dim;
    }
  }
}

TEST(RowRotationTest, PreparesWhatItIsAskedForAgain) {
  RowRotation rotation, fresh;
  std::vector<float> rows(64, 1.0f), want(64, 1.0f);
  rotation.Prepare(RotationKind::kHaar, 3, 64);
  rotation.Prepare(RotationKind::kHadamard, 3, 80);
  rotation.Prepare(RotationKind::kHadamard, 4, 64);
  rotation.Rotate(Isa::kSimd, rows.data(), 1);
  fresh.Prepare(RotationKind::kHadamard, 4, 64);
  fresh.Rotate(Isa::kSimd, want.data(), 1);
  EXPECT_EQ(rows, want);
}

}  // namespace
}  // namespace larder
