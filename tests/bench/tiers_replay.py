#!/usr/bin/env python3
"""Two tiers as one cache: a trace against DRAM and SSD, a kill -9 in its middle, and priority hints.

  tests/bench/tiers_replay.py --trace FILE [--build build/release] [--directory DIR] [--requests N] [--dram-blocks 2000]
                              [--ssd-blocks 50000] [--hint-blocks 5000] [--json FILE]

1. Replays the trace with --verify against a larderd with DRAM for `--dram-blocks` blocks and SSD for `--ssd-blocks`, and prints the hit
   rate beside that of a least-recently-used cache, simulated here, of as many blocks as both held: within half a point. The hits by tier,
   and the bytes written per byte kept: at most 1.1.
2. Replays the first half, kills the server with SIGKILL, starts it again over the same directory and replays the second half: it may lose
   at most as many hits, against an unbroken run, as blocks were not on SSD.
3. Replays the trace against DRAM for `--hint-blocks` blocks, without hints and with `--priority-hints turn`: the gain, only reported.

Exit status: 0 when all hold, 1 when one does not, 2 when something could not be run. Writes below --directory (default: the build
folder), about 2.5 GB with the defaults, and removes it.
"""

import argparse
import json
import os
import shutil
import signal
import sys

from codec_replay import lru
from larder_server import LarderServer

FRAME_BYTES = 33_280  # of a block of the replay's default geometry
RECORD_BYTES = FRAME_BYTES + 192
ROOM_SHARE = 0.65  # of the SSD budget, for frames: the rest keeps reclaim cheap and holds the catalog
POINTS, WRITE_AMPLIFICATION_MAX = 0.5, 1.1


def start(options, dram_blocks, ssd_bytes=0, directory=None):
    flags = ["--codec", "raw", "--dram-bytes", dram_blocks * FRAME_BYTES]
    if ssd_bytes:
        flags += ["--ssd-path", directory, "--ssd-bytes", ssd_bytes]
    return LarderServer(options.build, *flags)


class Report:
    def __init__(self):
        self.values, self.failed = {}, 0

    def row(self, name, value, expected="", holds=True):
        self.values[name] = value
        self.failed += not holds
        shown = f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
        print(f"  {name:44} {shown:>12}  {expected}{'' if holds else '  FAILED'}", flush=True)

    def sound(self, name, result):
        self.row(f"{name}: wrong blocks", result["wrong_blocks"], "0", result["wrong_blocks"] == 0)
        self.row(f"{name}: errors", result["errors"], "0", result["errors"] == 0)


def union(options, report, requests, directory):
    blocks = sum(map(len, requests))
    server = start(options, options.dram_blocks, options.ssd_bytes, directory)
    try:
        result = server.replay(options.whole)
        dram, ssd = server.tier("TIER_DRAM"), server.tier("TIER_SSD")
    finally:
        server.end()
    print(f"DRAM for {options.dram_blocks:,} blocks, {options.ssd_bytes:,} bytes of SSD, lru")
    report.sound("union", result)
    held = int(ssd["blocks"])
    rate, ideal = 100 * result["hit_blocks"] / blocks, 100 * lru(requests, held)[0] / blocks
    wanted = 100 * lru(requests, options.dram_blocks + options.ssd_blocks)[0] / blocks
    report.row("blocks held at the end", held, f"wanted {options.ssd_blocks:,}")
    report.row("hit rate, %", rate, f"LRU of the blocks held {ideal:.2f}, of both wanted {wanted:.2f}",
               abs(rate - wanted) <= POINTS or abs(rate - ideal) <= POINTS)
    for name, tier in (("DRAM", dram), ("SSD", ssd)):
        share = int(tier["hit_tokens"]) / (int(dram["hit_tokens"]) + int(ssd["hit_tokens"]))
        report.row(f"of it from {name}, %", rate * share)
    amplification = float(ssd["write_amplification"])
    report.row("bytes written per byte kept", amplification, f"at most {WRITE_AMPLIFICATION_MAX}",
               amplification <= WRITE_AMPLIFICATION_MAX)
    report.row("blocks evicted before they were written", int(ssd.get("overtaken_blocks", 0)))


def kill_in_the_middle(options, report, requests, directory):
    half = len(requests) // 2
    print("kill -9 in the middle")
    server = start(options, options.dram_blocks, options.ssd_bytes, directory + ".unbroken")
    try:
        server.replay(options.first)
        unbroken = server.replay(options.second)
    finally:
        server.end()
    server = start(options, options.dram_blocks, options.ssd_bytes, directory + ".killed")
    try:
        server.replay(options.first)
        stored = int(server.tier("TIER_SSD")["blocks"])
        whole = int(server.tier("TIER_DRAM")["blocks"])
    finally:
        server.end(signal.SIGKILL)
    server = start(options, options.dram_blocks, options.ssd_bytes, directory + ".killed")
    try:
        back = int(server.tier("TIER_SSD")["blocks"])
        killed = server.replay(options.second)
    finally:
        server.end()
    report.row("requests before the kill", half)
    report.row("blocks on SSD before the kill", stored, f"and {whole:,} in DRAM")
    report.row("blocks on SSD after the restart", back)
    lost = max(stored - back, 0) + whole
    difference = unbroken["hit_blocks"] - killed["hit_blocks"]
    report.row("hits of the second half, unbroken", unbroken["hit_blocks"])
    report.row("hits of the second half, after the kill", killed["hit_blocks"], f"at most {lost:,} fewer", difference <= lost)
    report.sound("after the kill", killed)


def hints(options, report, requests):
    print(f"DRAM for {options.hint_blocks:,} blocks, priority hints")
    blocks = sum(map(len, requests))
    rates = {}
    for hint in ("none", "turn"):
        server = start(options, options.hint_blocks)
        try:
            rates[hint] = 100 * server.replay(options.whole, "--priority-hints", hint)["hit_blocks"] / blocks
        finally:
            server.end()
        report.row(f"hit rate, hints {hint}, %", rates[hint])
    report.row("gain of the hints, points", rates["turn"] - rates["none"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", required=True)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--directory")
    parser.add_argument("--requests", type=int, default=0, help="only the first N")
    parser.add_argument("--dram-blocks", type=int, default=2000)
    parser.add_argument("--ssd-blocks", type=int, default=50_000)
    parser.add_argument("--hint-blocks", type=int, default=5000)
    parser.add_argument("--json")
    options = parser.parse_args()
    options.ssd_bytes = int(options.ssd_blocks * RECORD_BYTES / ROOM_SHARE)
    with open(options.trace, encoding="utf-8") as file:
        lines = [line for line in file if line.strip()][:options.requests or None]
    requests = [json.loads(line)["hash_ids"] for line in lines]
    work = os.path.join(options.directory or options.build, "tiers_replay_work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    half = len(lines) // 2
    for name, part in (("whole", lines), ("first", lines[:half]), ("second", lines[half:])):
        setattr(options, name, os.path.join(work, name + ".jsonl"))
        with open(getattr(options, name), "w", encoding="utf-8") as file:
            file.writelines(part)
    report = Report()
    try:
        union(options, report, requests, os.path.join(work, "union"))
        kill_in_the_middle(options, report, requests, os.path.join(work, "kill"))
        hints(options, report, requests)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report.values, file, indent=1)
    print(f"{report.failed} FAILED" if report.failed else "all hold")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
