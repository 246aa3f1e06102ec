// Elementary functions whose results are the same bits on every machine: only IEEE +, -, x, / in
// double, in a fixed order. libm's differ in the last place from version to version, and a decoder
// must rebuild the encoder's rotation tables exactly.
//
// Relative error below 1e-14 in the stated ranges (PortableMathTest compares with libm). Needs a
// build without FMA contraction. Pure functions. For tables, not for hot loops.
#pragma once

namespace larder {

struct SineCosine {
  double sine;
  double cosine;
};

// |x| below 2^24 (positions of the longest contexts times the fastest frequency, 1).
SineCosine PortableSineCosine(double x);

// -700 < x < 700.
double PortableExp(double x);

// x is positive, finite and normal.
double PortableLog(double x);

}  // namespace larder
