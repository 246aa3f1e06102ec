#!/usr/bin/env python3
"""Compression as capacity: the same trace against the same DRAM, stored with different codecs.

  tests/bench/codec_replay.py --trace FILE [--build build/release] [--requests N] [--blocks 5000] [--codecs raw,lossless,...]
                              [--json FILE]

For each codec, and with --encode-at server and client, starts a larderd whose DRAM holds `--blocks` raw blocks, replays the trace with
--verify and prints the hit rate beside that of a least-recently-used cache, simulated here, of as many blocks as the server's DRAM
holds at the size that the codec gives them. Judged: hit rates within half a point of the simulation; not one wrong block or error;
stored bytes as the codec's sizes say, to the byte where they are fixed and within 5 % where they vary with the values; equal figures
whichever end encodes. Exit status: 0 when all hold, 1 when one does not, 2 when something could not be run.
"""

import argparse
import json
import sys
import time
from collections import OrderedDict

from larder_server import LarderServer, fail, run_json

RAW_FRAME_BYTES = 33_280  # of the replay's default geometry: 32 tokens, 2 layers of 2 heads of 64 channels
BLOCK_TOKENS, TILE_ELEMENTS, TILES = 32, 32 * 64, 8  # tiles of keys and values
SINKS = 4
GRANULE = 512  # of the server's allocator
# Mean bytes of a tile where the size varies: 8 bits apart and exponents of 2.6 bits, a table, 8 states; steps of 2.682 bits, scales, 8
# states, half of the tiles with means. 7.5 is half of the alignment.
VARYING = {
    "lossless": TILE_ELEMENTS * 10.6 / 8 + 20 + 32 + 7.5,
    "compact": TILE_ELEMENTS * 2.682 / 8 + 2 * BLOCK_TOKENS + 32 + 128 / 2 + 7.5,
}


def lru(requests, capacity):
    """Hit blocks of contiguous prefixes, and blocks put at the begin of a chain, of a cache that forgets the least recently used."""
    kept, hits, first_puts = OrderedDict(), 0, 0
    for blocks in requests:
        found = 0
        for block in blocks:
            if block not in kept:
                break
            found += 1
        hits += found
        first_puts += blocks[0] not in kept
        for block in reversed(blocks):  # a parent is used after its children
            kept[block] = True
            kept.move_to_end(block)
        while len(kept) > capacity:
            kept.popitem(last=False)
    return hits, first_puts


def frame_bytes(larder, codec):
    """Bytes of a later block's frame and what raw sinks add to a first block's; None when sizes vary."""
    sizes = run_json([larder, "codec", "sizes", "--model", "replay-small", "--block-tokens", str(BLOCK_TOKENS), "--tokens",
                      str(BLOCK_TOKENS), "--sinks", str(SINKS), "--json", "-"])
    for row in sizes["codecs"]:
        if row["name"] == codec:
            payload = row["bytes_per_token"] * BLOCK_TOKENS + row["once_per_block_bytes"]
            return int(payload + row["header_bytes"]), int(row["sinks_bytes"])
    return None


def replay(options, codec, encode_at, dram_bytes):
    server = LarderServer(options.build, "--dram-bytes", dram_bytes, "--codec-fidelity-min", "compact", "--codec-sinks", SINKS)
    flags = ["--codec", codec]
    if encode_at == "client":
        flags += ["--encode-at", "client"]
    if options.requests:
        flags += ["--requests", str(options.requests)]
    try:
        result = server.replay(options.trace, *flags)
        dram = server.tier("TIER_DRAM")
    finally:
        server.end()
    result["blocks_held"], result["bytes_used"] = int(dram["blocks"]), int(dram["used_bytes"])
    return result


def judge(options, requests, codec, result, dram_bytes):
    """A row of the table and what does not hold."""
    faults = []
    stored = result["put_outcomes"]["stored"]
    fixed = frame_bytes(f"{options.build}/bin/larder", codec)
    mean = result["stored_bytes"] / stored
    slab = -(-fixed[0] // GRANULE) * GRANULE if fixed else result["bytes_used"] / max(result["blocks_held"], 1)
    capacity = int(dram_bytes // slab)
    hits, first_puts = lru(requests, capacity)
    blocks = sum(len(request) for request in requests)
    rate, predicted = 100 * result["hit_blocks"] / blocks, 100 * hits / blocks
    if result["blocks"] != blocks:
        faults.append(f"{result['blocks']} blocks asked for, the trace has {blocks}")
    if abs(rate - predicted) > 0.5:
        faults.append("hit rate is not that of the larger cache")
    if result["wrong_blocks"] or result["errors"]:
        faults.append(f"{result['wrong_blocks']} wrong blocks, {result['errors']} errors")
    if fixed:
        rest = result["stored_bytes"] - stored * fixed[0]
        # First blocks keep raw sinks. How many were put again depends on evictions, whose order may differ in a few blocks.
        firsts = rest / fixed[1] if fixed[1] else 0
        if rest < 0 or (fixed[1] == 0 and rest != 0) or firsts != int(firsts) or abs(firsts - first_puts) > 0.005 * stored:
            faults.append(f"stored bytes are not {stored} x {fixed[0]} and sinks of {first_puts} first blocks")
        formula = float(fixed[0])
    else:
        formula = TILES * VARYING[codec] + 64 + 576
        if abs(mean / formula - 1) > 0.05:
            faults.append("stored bytes are not what the formula says")
    return {"mean_frame_bytes": mean, "formula_frame_bytes": formula, "capacity_blocks": capacity, "hit_rate": rate,
            "lru_hit_rate": predicted, "faults": faults}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", required=True)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--requests", type=int, default=0, help="only the first N")
    parser.add_argument("--blocks", type=int, default=5000, help="raw blocks that the DRAM holds")
    parser.add_argument("--codecs", default="raw,lossless,fp8,balanced,compact")
    parser.add_argument("--json")
    options = parser.parse_args()
    with open(options.trace, encoding="utf-8") as file:
        requests = [json.loads(line)["hash_ids"] for line in file if line.strip()]
    requests = [request for request in requests[:options.requests or None] if request]
    dram_bytes = options.blocks * RAW_FRAME_BYTES
    print(f"{len(requests):,} requests, {dram_bytes:,} bytes of DRAM")
    print(f"{'codec':10} {'encoded at':10} {'frame':>9} {'formula':>9} {'blocks':>7} {'hit %':>7} {'LRU %':>7} {'points':>7} {'seconds':>8}")
    rows, failed, last_rate = [], 0, -1.0
    for codec in options.codecs.split(","):
        rates = []
        for encode_at in ("server",) if codec == "raw" else ("server", "client"):
            begin = time.monotonic()
            result = replay(options, codec, encode_at, dram_bytes)
            row = judge(options, requests, codec, result, dram_bytes)
            if encode_at == "server":
                if row["hit_rate"] <= last_rate:
                    row["faults"].append("hit rate does not rise with the ratio")
                last_rate = row["hit_rate"]
            rates.append(row["hit_rate"])
            if abs(rates[0] - row["hit_rate"]) > 0.1:
                row["faults"].append("hit rate depends on which end encodes")
            print(f"{codec:10} {encode_at:10} {row['mean_frame_bytes']:9,.1f} {row['formula_frame_bytes']:9,.0f} "
                  f"{row['capacity_blocks']:7,} {row['hit_rate']:7.2f} {row['lru_hit_rate']:7.2f} "
                  f"{row['hit_rate'] - row['lru_hit_rate']:+7.2f} {time.monotonic() - begin:8.1f}  "
                  f"{'ok' if not row['faults'] else 'FAILED: ' + '; '.join(row['faults'])}", flush=True)
            failed += bool(row["faults"])
            rows.append({"codec": codec, "encode_at": encode_at, **row, "replay": result})
    print(f"{len(rows)} replays, {failed} FAILED; every fetched byte was compared")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
