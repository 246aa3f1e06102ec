#!/usr/bin/env python3
"""Time to the first hit after kill -9, by the number of blocks on SSD.

  tests/bench/restart.py [--build build/release] [--directory DIR] [--blocks 10000,100000,1000000] [--json FILE]

For each number: fills the SSD tier of a fresh larderd with that many small blocks (chains of 512, one token each), waits until all are
down, kills the server with SIGKILL, drops the page cache if it may, starts the server again over the same directory and asks at once for
the first chain and then for the last one. Prints seconds from the start of the process until it was ready, until the first chain was
fetched and verified, and the server's resident memory. Exit status: 0 when all blocks came back and the first hit took at most 2 s for a
million blocks, 1 otherwise. Writes about 1.6 KB per block below --directory (default: the build folder) and removes it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from larder_server import LarderServer

CHAIN = 512
GEOMETRY = ["--layers", "1", "--kv-heads", "1", "--head-dim", "64", "--block-tokens", "1"]
SSD_BYTES_PER_BLOCK = 8_000  # of budget: about 1,100 are used, and the catalog may take a 32nd of the budget
FIRST_HIT_SECONDS_MAX, JUDGED_BLOCKS = 2.0, 1_000_000


def start(options, blocks, directory):
    return LarderServer(options.build, "--codec", "raw", "--dram-bytes", 512 << 20, "--ssd-path", directory, "--ssd-bytes",
                        max(blocks * SSD_BYTES_PER_BLOCK, 256 << 20))


def replay(server, trace, *flags):
    return server.replay(trace, *GEOMETRY, *flags)


def write_trace(path, chains):
    with open(path, "w", encoding="utf-8") as file:
        for chain in chains:
            ids = list(range(chain * CHAIN, (chain + 1) * CHAIN))
            file.write(json.dumps({"timestamp": 0, "input_length": CHAIN * 512, "output_length": 1, "hash_ids": ids}) + "\n")


def fill(server, trace, blocks):
    """Seconds until `blocks` blocks are on SSD."""
    begin = time.monotonic()
    replay(server, trace, "--concurrency", "4", "--durability", "ssd")  # so that none is evicted before it is down
    while time.monotonic() < begin + 900:
        ssd = server.tier("TIER_SSD")
        if int(ssd["blocks"]) >= blocks:
            return time.monotonic() - begin
        time.sleep(0.2)
    sys.exit(f"restart: {blocks:,} blocks do not get to SSD: {ssd}")


def measure(options, blocks, work):
    chains = -(-blocks // CHAIN)
    blocks = chains * CHAIN
    trace, first, last = (os.path.join(work, name) for name in ("all.jsonl", "first.jsonl", "last.jsonl"))
    write_trace(trace, range(chains))
    write_trace(first, [0])
    write_trace(last, [chains - 1])
    directory = os.path.join(work, "ssd")
    server = start(options, blocks, directory)
    filled = fill(server, trace, blocks)
    stored = int(server.tier("TIER_SSD")["blocks"])
    server.end(signal.SIGKILL)
    subprocess.run("sync; echo 3 > /proc/sys/vm/drop_caches", shell=True, check=False, stderr=subprocess.DEVNULL)
    server = start(options, blocks, directory)
    try:
        hit = replay(server, first)
        first_hit = time.monotonic() - server.begin
        also = replay(server, last)
        resident = server.resident_bytes()
        back = int(server.tier("TIER_SSD")["blocks"])
    finally:
        server.end(signal.SIGTERM)
    whole = hit["hit_blocks"] == also["hit_blocks"] == CHAIN and back == stored and not hit["wrong_blocks"] + also["wrong_blocks"]
    late = blocks >= JUDGED_BLOCKS and blocks < 2 * JUDGED_BLOCKS and first_hit > FIRST_HIT_SECONDS_MAX
    row = {"blocks": blocks, "on_ssd_before": stored, "on_ssd_after": back, "fill_seconds": filled, "ready_seconds": server.ready_seconds,
           "first_hit_seconds": first_hit, "resident_bytes": resident, "holds": whole and not late and stored >= blocks}
    print(f"{blocks:>12,} {back:>12,} {filled:>9.1f} {server.ready_seconds:>9.3f} {first_hit:>10.3f} {resident / blocks:>10.0f}  "
          f"{'ok' if row['holds'] else 'FAILED'}", flush=True)
    shutil.rmtree(directory)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--directory")
    parser.add_argument("--blocks", default="10000,100000,1000000")
    parser.add_argument("--json")
    options = parser.parse_args()
    work = os.path.join(options.directory or options.build, "restart_work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    print(f"{'blocks':>12} {'came back':>12} {'fill s':>9} {'ready s':>9} {'1st hit s':>10} {'RSS/block':>10}")
    try:
        rows = [measure(options, int(blocks), work) for blocks in options.blocks.split(",")]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 0 if all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
