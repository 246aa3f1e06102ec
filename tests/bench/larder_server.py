"""A larderd of its own for a benchmark written in Python, and the larder commands that it is asked with."""

import json
import os
import re
import signal
import subprocess
import sys
import time

STOP_SECONDS = 120  # what is in memory alone is written to SSD at an orderly end


def fail(text):
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(2)


def run_json(command):
    """The JSON that a larder command prints."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in (0, 4):  # 4: bytes failed verification, which the summary counts
        fail(f"{' '.join(command)}: {result.stderr.strip() or result.stdout.strip()}")
    return json.loads(result.stdout)


class LarderServer:
    def __init__(self, build, *flags):
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [f"{build}/bin/larderd", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--log-level", "error", *map(str, flags)],
            stdout=subprocess.PIPE, text=True)
        ready = re.search(r'"listen": *"([^"]+)"', self.process.stdout.readline())
        if not ready:
            self.end()
            fail("larderd did not start")
        self.ready_seconds = time.monotonic() - self.begin
        self.larder = [f"{build}/bin/larder", "--address", ready.group(1), "--timeout-ms", "60000"]

    def replay(self, trace, *flags):
        return run_json([*self.larder, "replay", "--trace", trace, "--verify", "--json", "-", *flags])

    def tier(self, name):
        """A tier's statistics: TIER_DRAM, TIER_SSD or TIER_HBM."""
        stats = run_json([*self.larder, "stats", "--json"])
        return next(tier for tier in stats["tiers"] if tier["tier"] == name)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
