#!/usr/bin/env python3
"""What codecs do to synthetic keys and values, beside what is expected of them: published figures, closed forms and earlier
measurements of the methods.

  tests/bench/codec_quality.py [--larder build/release/bin/larder] [--quick] [--seeds N] [--json FILE]

Runs `larder codec eval` on Gaussian values and on the two synthetic key profiles and `larder codec sizes` for Llama-3 8B, and prints
one line per figure: expected, measured, the tolerance, ok or FAILED. Figures of Gaussian values have closed forms and are held to
them. Figures of the key profiles depend on the profile's free parameters and the seed, so they are printed beside the reference and
not judged; what is judged are orderings and factors between codecs. --quick: less data, same checks. Exit status: 0 when every
judged figure holds, 1 when one does not, 2 when the command could not be run.
"""

import argparse
import json
import math
import subprocess
import sys

HEAD_DIM = 128
BITS = "key_bits_per_element"
MSE = "key_relative_mse"
LOGIT = "logit_rmse"
OUT = "key_output_error"
OUT_KV = "output_error"  # with raw keys: of values alone
TOP1 = "top1_agreement"
SLOPE = "inner_product_slope"
VARIANCE = "inner_product_variance"

# Relative error of Lloyd-Max codes of 1 to 4 bits on the sphere of 128 dimensions.
SPHERE = {1: 0.3609, 2: 0.1160, 3: 0.03397, 4: 0.00931}
# Of rounding Gaussian values to bf16, which figures of fp32 results lack.
BF16_ERROR = 2.6e-6  # close to sum over k of P(2^k <= |x| < 2^(k+1)) 2^(2k-14) / 12
# Variance of an inner product with cosine 1/2, times D, as measured earlier: plain, length restored, unbiased, product stage.
VARIANCES = {
    1: (0.167, 0.263, 0.407, None),
    2: (0.114, 0.089, 0.098, 0.504),
    3: (0.044, 0.026, 0.0265, 0.177),
    4: (0.013, 0.0069, 0.0070, 0.057),
}
# Positive centroids of Lloyd-Max codes, in standard deviations.
CENTROIDS = {
    1: (0.7979,),
    2: (0.4528, 1.5104),
    3: (0.2451, 0.7560, 1.3439, 2.1519),
    4: (0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326),
}
# Min/max codes of Gaussian values: relative error by bits and group.
AFFINE = {
    2: {16: 0.107, 32: 0.154, 64: 0.203, 128: 0.249, 256: 0.300},
    3: {16: 0.0195, 32: 0.0281, 64: 0.0367, 128: 0.0459, 256: 0.0548},
    4: {16: 0.0042, 32: 0.0061, 64: 0.0080, 128: 0.0099, 256: 0.0119},
}
# Keys only: plan, bits, then relative error, logit and output error on profile A, those and top-1 agreement on profile B.
KEYS = [
    ("FP8 E4M3 per head", "e4m3", 8.0, (7.6e-4, 0.039, 0.013), (1.8e-3, 0.086, 0.053, 0.97)),
    ("FP8, centred", "e4m3+centre", 8.06, (6.4e-4, 0.036, 0.011), (3.9e-4, 0.027, 0.018, 0.99)),
    ("q8_0", "q8_0", 8.5, (4e-5, 0.009, 0.002), (2.2e-4, 0.018, 0.008, 1.0)),
    ("q4_0", "q4_0", 4.5, (0.0104, 0.144, 0.034), (0.056, 0.285, 0.129, 0.98)),
    ("Hadamard, q4_0", "q4_0+rotate", 4.5, (0.0079, 0.126, 0.031), (0.0143, 0.162, 0.073, 0.98)),
    ("Hadamard, q4_0, centred", "q4_0+rotate+centre", 4.56, (0.0066, 0.116, 0.027), (0.0041, 0.087, 0.038, 0.99)),
    ("KIVI K4 g128", "kivi4_g128", 4.25, (0.0103, 0.144, 0.036), (0.0078, 0.199, 0.092, 0.95)),
    ("KIVI K2 g32", "kivi2_g32", 3.0, (0.152, 0.549, 0.144), (0.113, 0.727, 0.282, 0.86)),
    ("KIVI K2 g128", "kivi2_g128", 2.25, (0.260, 0.722, 0.197), (0.203, 1.04, 0.377, 0.83)),
    ("Kitty, an eighth boosted", "kitty", 2.56, (0.185, 0.594, 0.164), (0.113, 0.466, 0.198, 0.94)),
    ("pre-RoPE channel int2 g128", "int2_tokens_g128+unrope", 2.25, (0.229, 0.673, 0.175), (0.142, 0.500, 0.238, 0.90)),
    ("TurboQuant 3 b", "turbo3_plain", 3.125, (0.0365, 0.272, 0.094), (0.0736, 0.373, 0.200, 0.91)),
    ("  unbiased scale", "turbo3", 3.125, (0.0372, 0.274, 0.066), (0.0748, 0.367, 0.174, 0.92)),
    ("  centred", "turbo3_plain+centre", 3.19, (0.0306, 0.249, 0.083), (0.0187, 0.188, 0.104, 0.97)),
    ("  both", "turbo3+centre", 3.19, (0.0312, 0.250, 0.055), (0.0179, 0.180, 0.084, 0.96)),
    ("  both, 2 b", "turbo2+centre", 2.19, (0.118, 0.485, 0.114), (0.067, 0.348, 0.167, 0.91)),
    ("TurboQuant product 3 b, centred", "turbo_prod3+centre", 3.31, (0.164, 0.568, 0.152), (0.093, 0.414, 0.215, 0.91)),
    ("PolarQuant (RoPE) r4 t4", "polar_rope", 4.25, (0.0157, 0.174, 0.043), (0.0146, 0.326, 0.096, 0.96)),
]
# Values only: output error.
VALUES = [
    ("int4 per token", "int4_channels_g128", 0.100),
    ("int2 per token g32", "int2_channels_g32", 0.39),
    ("int2 per token g128", "int2_channels_g128", 0.50),
    ("int2 per channel", "int2_tokens_g128", 0.59),
    ("TurboQuant 3 b", "turbo3", 0.18),
    ("TurboQuant 2 b", "turbo2", 0.34),
    ("q4_0", "q4_0", 0.086),
]
# Bytes per token of Llama-3 8B without headers, sinks and tail.
SIZES = {
    "e4m3": 65536, "q8q4": 53248, "q4_0": 36864, "turbo4": 33792, "polar": 31744, "turbo3": 25600,
    "kivi2_g32": 24576, "kitty": 19712, "kivi2_g128": 18432,
}
MORE_KEYS = ["q4_0+centre", "int4_tokens_g128", "int4_channels_g128", "int2_tokens_g128", "int2_channels_g128",
             "balanced", "compact", "compact2", "kivi4_g32"]


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class Report:
    """Prints lines and remembers them."""

    def __init__(self):
        self.lines, self.failed, self.judged, self.section_name = [], 0, 0, ""

    def section(self, name):
        self.section_name = name
        print(f"\n{name}\n{'':44} {'expected':>10} {'measured':>10} {'off':>8}  tolerance")

    def note(self, text):
        print(f"  {text}")

    def value(self, what, expected, measured, relative=None, absolute=None):
        """A figure; judged where a tolerance is given."""
        off = measured / expected - 1 if expected else 0.0
        allowed = "not judged"
        holds = None
        if relative is not None:
            allowed, holds = f"{relative:.1%}", abs(off) <= relative
        elif absolute is not None:
            allowed, holds = f"+-{absolute:g}", abs(measured - expected) <= absolute
        self._line(what, number(expected), number(measured), f"{off:+.1%}", allowed, holds)

    def order(self, what, left, right, factor=1.0):
        """left x factor < right."""
        self._line(what, f"< {right / factor:.4g}", f"{left:.4g}", f"{right / left if left else math.inf:.2f}x",
                   f"{factor:g}x" if factor != 1 else "order", left * factor < right)

    def _line(self, what, expected, measured, off, allowed, holds):
        verdict = "" if holds is None else "ok" if holds else "FAILED"
        print(f"{what:44} {expected:>10} {measured:>10} {off:>8}  {allowed:10} {verdict}")
        if holds is not None:
            self.judged += 1
            self.failed += not holds
        self.lines.append({"section": self.section_name, "what": what, "expected": expected, "measured": measured,
                           "tolerance": allowed, "holds": holds})


def run(command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print(f"codec_quality: {' '.join(command)}: {result.stderr.strip()}", file=sys.stderr)
        sys.exit(2)
    return json.loads(result.stdout)


def evaluate(options, profile, plans, size):
    """Scores by plan, means over the seeds."""
    sums = {}
    for seed in range(1, options.seeds + 1):
        report = run([options.larder, "codec", "eval", "--synthetic", profile, "--seed", str(seed), "--codec", ",".join(plans),
                      "--head-dim", str(HEAD_DIM), "--json", "-"] + [str(word) for word in size])
        for codec in report["codecs"]:
            scores = sums.setdefault(codec["name"], {})
            for key, value in codec.items():
                if isinstance(value, (int, float)):
                    scores[key] = scores.get(key, 0) + value / options.seeds
    return sums


def gaussian_plans():
    plans = ["e4m3", "e5m2", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "q8q4", "lossless", "polar", "polar_3222",
             "polar_5333", "kivi2_g32", "kivi2_g128", "kitty"]
    for bits in SPHERE:
        plans += [f"turbo{bits}_plain", f"turbo{bits}_nc", f"turbo{bits}"]
    plans += [f"turbo_prod{bits}" for bits in (2, 3, 4)] + [f"uniform{bits}" for bits in (2, 3, 4, 5)]
    for bits, groups in AFFINE.items():
        plans += [f"int{bits}_{axis}_g{group}" for group in groups for axis in ("tokens", "channels")
                  if axis == "tokens" or group <= HEAD_DIM]
    return plans


def base_formats(report, scores):
    report.section("Base formats, Gaussian values")
    for name, error, bits in (("e4m3", 7.0e-4, 8.0), ("e5m2", 2.8e-3, 8.0), ("q8_0", 2.86e-5 + BF16_ERROR, 8.5), ("q4_0", 0.00737, 4.5),
                              ("q4_1", 0.00611, 5.0), ("q5_0", None, 5.5), ("q5_1", None, 6.0), ("iq4_nl", None, 4.5)):
        if error:
            report.value(f"{name}: relative error", error, scores[name][MSE], relative=0.03)
        # fp8 has one scale per head and block beside its codes.
        report.value(f"{name}: bits", bits, scores[name][BITS], absolute=0.005)
    report.value("q8q4: bits", 6.5, scores["q8q4"]["bits_per_element"], absolute=0.001)
    report.value("lossless: bits, between 10.5 and 10.9", 10.7, scores["lossless"][BITS], absolute=0.2)
    report.order("q5_0 errs less than q4_0", scores["q5_0"][MSE], scores["q4_0"][MSE], 3)
    report.order("q5_1 errs less than q4_1", scores["q5_1"][MSE], scores["q4_1"][MSE], 3)
    report.order("iq4_nl errs less than q4_0", scores["iq4_nl"][MSE], scores["q4_0"][MSE])


def product_variances(bits):
    """Variance x D of <y, x'> for |x| = |y| = 1 with cosine 1/2: plain scale, length restored, unbiased; D large.

    Three quarters of |y|^2 lie across x and meet what of x' does, spread evenly. The quarter along x meets <x, x'>, the mean of
    f = u c(u) over channels that are Gaussian but for their fixed energy: what u^2 explains of f does not vary. Restoring the
    length divides by the root of the mean of c^2.
    """
    centroids = CENTROIDS[bits]
    edges = [(low + high) / 2 for low, high in zip(centroids, centroids[1:])]
    sums = [0.0] * 8
    steps = 16000
    for i in range(steps):
        u = (i + 0.5) * 8 / steps
        weight = math.exp(-u * u / 2)
        c = centroids[sum(edge <= u for edge in edges)]
        plain, square = u * c, u * u
        normed = plain - c * c / 2
        for at, term in enumerate((1, plain, square, normed, plain * plain, normed * normed, plain * square, normed * square)):
            sums[at] += weight * term
    one, plain, square, normed, plain2, normed2, plain_square, normed_square = (value / sums[0] for value in sums)
    del one, square  # both are 1

    def rest(mean, mean2, mean_square):
        return mean2 - mean**2 - (mean_square - mean) ** 2 / 2

    d = SPHERE[bits]
    return (0.75 * d * (1 - d) + 0.25 * rest(plain, plain2, plain_square),
            0.75 * d + 0.25 * rest(normed, normed2, normed_square) / (1 - d),
            0.75 * d / (1 - d))


def turbo(report, scores):
    report.section("TurboQuant, first stage, Gaussian values")
    for bits, distortion in SPHERE.items():
        plain, unbiased, normed = (scores[f"turbo{bits}{suffix}"] for suffix in ("_plain", "", "_nc"))
        report.value(f"{bits} b: bits", bits + 16 / HEAD_DIM, plain[BITS], absolute=0.001)
        report.value(f"{bits} b: D, plain scale", distortion, plain[MSE], relative=0.03)
        report.value(f"{bits} b: slope 1 - D, plain", 1 - distortion, plain[SLOPE], absolute=0.01)
        report.value(f"{bits} b: slope sqrt(1 - D), length restored", math.sqrt(1 - distortion), normed[SLOPE], absolute=0.01)
        report.value(f"{bits} b: slope, unbiased scale", 1, unbiased[SLOPE], absolute=0.01)
        report.value(f"{bits} b: D / (1 - D), unbiased scale", distortion / (1 - distortion), unbiased[MSE], relative=0.03)
    report.section("TurboQuant, product stage: variance x D of an inner product with cosine 1/2")
    for bits, row in VARIANCES.items():
        for suffix, expected, closed in zip(("_plain", "_nc", ""), row, product_variances(bits)):
            measured = scores[f"turbo{bits}{suffix}"][VARIANCE]
            report.value(f"turbo{bits}{suffix}: as measured earlier", expected, measured)
            report.value(f"turbo{bits}{suffix}: closed form", closed, measured, relative=0.1)
        if row[3]:
            prod = scores[f"turbo_prod{bits}"]
            rest = SPHERE[bits - 1]  # energy of the first stage's residual
            report.value(f"turbo_prod{bits}, Gaussian sketch: as measured earlier", row[3], prod[VARIANCE])
            report.value(f"turbo_prod{bits}: closed form", math.pi / 2 * rest - 0.25 * rest**2, prod[VARIANCE], relative=0.1)
            report.value(f"turbo_prod{bits}: slope", 1, prod[SLOPE], absolute=0.02)
            report.value(f"turbo_prod{bits}: D is pi/2 times that of {bits - 1} b", math.pi / 2 * SPHERE[bits - 1], prod[MSE],
                         relative=0.05)
            report.value(f"turbo_prod{bits}: bits", bits + 32 / HEAD_DIM, prod[BITS], absolute=0.001)
            report.order(f"turbo{bits} beats turbo_prod{bits}", scores[f"turbo{bits}"][VARIANCE], prod[VARIANCE], 4)
    report.note("Not codecs of this build: the product stage at 1 b (a sketch alone: qjl) and with an orthogonal sketch.")


def polar_and_uniform(report, scores):
    report.section("PolarQuant (recursive), Gaussian values")
    for name, error, bits in (("polar", 0.0321, 3.875), ("polar_3222", 0.0696, 3.375), ("polar_5333", 0.00854, 4.8125)):
        report.value(f"{name}: relative error", error, scores[name][MSE], relative=0.03)
        report.value(f"{name}: bits", bits, scores[name][BITS], absolute=0.001)
    report.section("Entropy-coded uniform steps, Gaussian values")
    distortions = {2: 0.11748, 3: 0.03455, 4: 0.00950, 5: 0.002505}
    for bits, entropy in ((2, 1.799), (3, 2.682), (4, 3.613), (5, 4.575)):
        score = scores[f"uniform{bits}"]
        report.value(f"uniform{bits}: D / (1 - D) of {bits} b", distortions[bits] / (1 - distortions[bits]), score[MSE],
                     relative=0.03)
        # Scales of 16 bits a row and the states of 32 lanes a tile of 256 rows.
        report.value(f"uniform{bits}: bits", entropy + 16 / HEAD_DIM + 1024 / (256 * HEAD_DIM), score[BITS], relative=0.01)


def affine(report, scores):
    report.section("Min/max codes, Gaussian values")
    for bits, groups in AFFINE.items():
        for group, error in groups.items():
            for axis in ("tokens", "channels"):
                name = f"int{bits}_{axis}_g{group}"
                if name in scores:
                    report.value(name, error, scores[name][MSE], relative=0.03)
                    # Along tokens 3-bit codes stand in planes of 32 tokens.
                    padding = max(1, 32 / group) if bits == 3 and axis == "tokens" else 1
                    report.value(f"{name}: bits", bits * padding + 32 / group, scores[name][BITS], absolute=0.001)
    report.value("kivi2_g32: bits", 3.0, scores["kivi2_g32"]["bits_per_element"], absolute=0.001)
    report.value("kivi2_g128: bits", 2.25, scores["kivi2_g128"]["bits_per_element"], absolute=0.001)
    report.value("kitty: bits of keys", 2.5625, scores["kitty"][BITS], absolute=0.001)
    report.value("kitty: bits of values", 2.25, scores["kitty"]["value_bits_per_element"], absolute=0.001)


def key_table(report, a, b):
    report.section("Keys, profile A: no outlier channels (relative error / logit / output)")
    for what, plan, bits, on_a, _ in KEYS:
        report.value(f"{what}: bits", bits, a[plan][BITS], absolute=0.01)
        for name, key, expected in zip(("rel. error", "logit", "output"), (MSE, LOGIT, OUT), on_a):
            report.value(f"{what}: {name}", expected, a[plan][key])
    report.section("Keys, profile B: four outlier channels (relative error / logit / output / top-1)")
    for what, plan, _, _, on_b in KEYS:
        for name, key, expected in zip(("rel. error", "logit", "output", "top-1"), (MSE, LOGIT, OUT, TOP1), on_b):
            report.value(f"{what}: {name}", expected, b[plan][key])


def key_orderings(report, a, b):
    report.section("Keys: what must hold on any seed")
    for plan, factor in (("e4m3", 3), ("q4_0", 5), ("q4_0+rotate", 2.5), ("turbo3_plain", 2.5), ("turbo3", 2.5)):
        report.order(f"B: centring {plan}, relative error", b[f"{plan}+centre"][MSE], b[plan][MSE], factor)
        report.order(f"B: centring {plan}, output error", b[f"{plan}+centre"][OUT], b[plan][OUT], 1.25)
    for plan in ("e4m3", "q4_0+rotate", "turbo3_plain", "turbo3"):
        report.order(f"A: centring {plan} costs at most 16 %", a[f"{plan}+centre"][MSE], a[plan][MSE] * 1.16)
    report.order("B: rotating q4_0", b["q4_0+rotate"][MSE], b["q4_0"][MSE], 2.5)
    report.order("A: rotating q4_0", a["q4_0+rotate"][MSE], a["q4_0"][MSE], 1.15)
    report.order("A: unbiased scale raises relative error", a["turbo3_plain"][MSE], a["turbo3"][MSE])
    report.order("A: and cuts output error", a["turbo3"][OUT], a["turbo3_plain"][OUT], 1.2)
    report.order("B: and cuts output error", b["turbo3"][OUT], b["turbo3_plain"][OUT], 1.05)
    for bits in (4, 2):
        along, across = b[f"int{bits}_tokens_g128"], b[f"int{bits}_channels_g128"]
        report.order(f"B: int{bits} of keys per channel, not per token", along[MSE], across[MSE], 5)
        report.order(f"B: the same, logit", along[LOGIT], across[LOGIT], 1.5)
    for profile, scores in (("A", a), ("B", b)):
        for small, large in (("turbo2+centre", "kivi2_g32"), ("compact", "kivi2_g32"), ("compact2", "kivi2_g128"),
                             ("balanced", "kivi4_g128"), ("balanced", "kivi2_g32")):
            if small != "balanced" or large != "kivi2_g32":
                report.order(f"{profile}: {small} has fewer bits than {large}", scores[small][BITS], scores[large][BITS])
            for name, key in (("relative error", MSE), ("logit", LOGIT), ("output error", OUT)):
                report.order(f"{profile}: {small} beats {large}, {name}", scores[small][key], scores[large][key])
        report.order(f"{profile}: unbiased scale beats the product stage", scores["turbo3+centre"][OUT],
                     scores["turbo_prod3+centre"][OUT], 1.5)
        report.order(f"{profile}: un-RoPE helps int2 per channel", scores["int2_tokens_g128+unrope"][MSE],
                     scores["int2_tokens_g128"][MSE], 1.05)
        report.order(f"{profile}: kitty beats KIVI K2 g128", scores["kitty"][MSE], scores["kivi2_g128"][MSE], 1.2)


def value_table(report, scores):
    report.section("Values with scales per token: output error")
    for what, plan, expected in VALUES:
        report.value(what, expected, scores[f"raw/{plan}"][OUT_KV])
    error = {plan: scores[f"raw/{plan}"][OUT_KV] for _, plan, _ in VALUES}
    report.order("int2: per token beats per channel", error["int2_channels_g128"], error["int2_tokens_g128"])
    report.order("int2: groups of 32 beat 128", error["int2_channels_g32"], error["int2_channels_g128"])
    report.order("turbo2 beats int2 g32 at fewer bits", error["turbo2"], error["int2_channels_g32"])
    report.order("q4_0 beats int4 per token", error["q4_0"], error["int4_channels_g128"])


def sizes(report, options):
    report.section("Llama-3 8B, bytes per token; headers, sinks and tail apart")
    found = run([options.larder, "codec", "sizes", "--model", "llama-3-8b", "--json", "-"])
    report.value("raw", 131072, found["raw_bytes_per_token"], absolute=0)
    rows = {row["name"]: row for row in found["codecs"]}
    for name, expected in SIZES.items():
        report.value(name, expected, rows[name]["bytes_per_token"], absolute=0)
    for name in ("e4m3", "turbo4"):
        row = rows[name]
        report.note(f"{name}: beside them {row['once_per_block_bytes']:,} bytes once a block, {row['header_bytes']:,} of header; "
                    f"{row['sinks_bytes']:,} for {found['sinks']} raw sinks, {row['tail_bytes']:,} of raw tail "
                    f"in {found['tokens']:,} tokens")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--larder", default="build/release/bin/larder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=0, help="3, or 1 with --quick")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.seeds = options.seeds or (1 if options.quick else 3)
    report = Report()
    size = ["--layers", 1, "--kv-heads", 4 if options.quick else 8, "--tokens", 1024, "--queries", 1]
    scores = evaluate(options, "gaussian", gaussian_plans(), size)
    base_formats(report, scores)
    turbo(report, scores)
    polar_and_uniform(report, scores)
    affine(report, scores)
    plans = [plan for _, plan, *_ in KEYS] + MORE_KEYS
    size = ["--layers", 1 if options.quick else 3, "--kv-heads", 4]
    a, b = (evaluate(options, profile, plans, size) for profile in ("keys-a", "keys-b"))
    key_table(report, a, b)
    key_orderings(report, a, b)
    value_table(report, evaluate(options, "keys-a", [f"raw/{plan}" for _, plan, _ in VALUES], size))
    sizes(report, options)
    print(f"\n{report.judged} figures judged, {report.failed} FAILED; seeds 1 to {options.seeds}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"seeds": options.seeds, "quick": options.quick, "figures": report.lines}, file, indent=1)
    if report.judged < 150:
        print("too few figures were judged", file=sys.stderr)
        return 1
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
