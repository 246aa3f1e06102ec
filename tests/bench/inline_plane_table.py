"""Prints the table of inline_plane.sh from the reports in a folder: one file OP.BATCH.SYSTEM.ROUND.json per run.

Medians over the rounds. Ratios are the median of Larder over the median of the other system; cost is CPU seconds per GB of both sides.
"""

import argparse
import collections
import json
import pathlib
import statistics

FIELDS = ("bytes_per_second", "client_cpu_seconds_per_gb", "server_cpu_seconds_per_gb")


def read_medians(folder):
    """{(op, batch): {system: {field: median}}} with the lowest and highest throughput beside the medians."""
    runs = collections.defaultdict(lambda: collections.defaultdict(list))
    for path in sorted(folder.glob("*.*.*.*.json")):
        op, batch, system, _round, _json = path.name.split(".")
        runs[(op, int(batch))][system].append(json.loads(path.read_text()))
    medians = {}
    for case, systems in runs.items():
        medians[case] = {}
        for system, reports in systems.items():
            row = {field: statistics.median(r[field] for r in reports) for field in FIELDS}
            row["bytes_per_second_min"] = min(r["bytes_per_second"] for r in reports)
            row["bytes_per_second_max"] = max(r["bytes_per_second"] for r in reports)
            row["cpu_seconds_per_gb"] = statistics.median(
                r["client_cpu_seconds_per_gb"] + r["server_cpu_seconds_per_gb"] for r in reports)
            row["rounds"] = len(reports)
            medians[case][system] = row
    return medians


def add_ratios(systems):
    """What Larder reaches of each other system's throughput, and what it costs beside it."""
    larder = systems.get("larder")
    for system, row in systems.items():
        if larder is None or system == "larder":
            continue
        row["larder_throughput_ratio"] = larder["bytes_per_second"] / row["bytes_per_second"]
        row["larder_cpu_ratio"] = larder["cpu_seconds_per_gb"] / row["cpu_seconds_per_gb"]


def print_table(medians):
    print(f"{'op':4} {'batch':>5}  {'system':22} {'GB/s':>6} {'[min-max]':>13}   {'CPU s/GB':>8} {'client':>7} {'server':>7}"
          f"   {'Larder/it GB/s':>14} {'CPU':>5}")
    for (op, batch), systems in sorted(medians.items()):
        for system, row in systems.items():
            spread = f"[{row['bytes_per_second_min'] / 1e9:.2f}-{row['bytes_per_second_max'] / 1e9:.2f}]"
            line = (f"{op:4} {batch:5}  {system:22} {row['bytes_per_second'] / 1e9:6.2f} {spread:>13}"
                    f"   {row['cpu_seconds_per_gb']:8.3f} {row['client_cpu_seconds_per_gb']:7.3f}"
                    f" {row['server_cpu_seconds_per_gb']:7.3f}")
            if "larder_throughput_ratio" in row:
                line += f"   {row['larder_throughput_ratio']:14.2f} {row['larder_cpu_ratio']:5.2f}"
            print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, help="also write the table here")
    arguments = parser.parse_args()
    medians = read_medians(arguments.folder)
    for systems in medians.values():
        add_ratios(systems)
    print_table(medians)
    if arguments.json:
        rows = [{"op": op, "batch": batch, "system": system, **row}
                for (op, batch), systems in sorted(medians.items()) for system, row in systems.items()]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
