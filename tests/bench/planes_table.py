"""Prints the table of planes.sh from the reports in a folder, OP.SIZE.BATCH.THREADS.SYSTEM.ROUND.json, and draws its chart.

Medians over the rounds; cost is CPU seconds per GB (1e9 bytes) of both sides. Ratios are medians over medians of the same run.
"""

import argparse
import collections
import json
import pathlib
import statistics

COLOURS = {"memcpy": "#888888", "raw_tcp": "#c8a000", "larder_inline": "#7fb2e5", "larder_shm": "#1f5fa8", "larder_shm_view": "#0a2f66",
           "larder_ucx": "#2e8b57", "larder_ucx_view": "#14502f", "bare_ucx_am": "#9fd3b5", "bare_ucx_am_eager": "#6fb98f", "bare_ucx_tag": "#c9e8d6", "redis_tcp": "#e58a7f", "redis_unix": "#b03a2e"}


def read_reports(path):
    """The last JSON line of a report, its latencies in one form."""
    report = json.loads(path.read_text().strip().splitlines()[-1] if "bare_ucx" in path.name else path.read_text())
    latency = report.get("latency_seconds") or {key: report.get(f"{key}_us", 0) / 1e6 for key in ("p50", "p99")}
    return {"bytes_per_second": report["bytes_per_second"], "p50": latency["p50"] or 0, "p99": latency["p99"] or 0,
            "client": report.get("client_cpu_seconds_per_gb") or 0, "server": report.get("server_cpu_seconds_per_gb") or 0}


def read_medians(folder):
    """{(op, size, batch, threads): {system: {field: median}}}"""
    runs = collections.defaultdict(lambda: collections.defaultdict(list))
    for path in sorted(folder.glob("*.*.*.*.*.*.json")):
        op, size, batch, threads, system, _round, _json = path.name.split(".")
        runs[(op, int(size), int(batch), int(threads))][system].append(read_reports(path))
    medians = {}
    for case, systems in runs.items():
        medians[case] = {system: {field: statistics.median(r[field] for r in reports) for field in reports[0]}
                         for system, reports in systems.items()}
        for row in medians[case].values():
            row["cpu"] = row["client"] + row["server"]
    return medians


def ratio(systems, system, other, field="bytes_per_second"):
    if system not in systems or other not in systems or not systems[other][field]:
        return None
    return systems[system][field] / systems[other][field]


def size_text(size):
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def print_table(medians):
    print(f"{'op':4}{'size':>8}{'batch':>6}{'thr':>4}  {'system':18}{'GB/s':>7}{'p50 us':>9}{'p99 us':>9}{'CPU s/GB':>9}{'client':>7}{'server':>7}"
          f"{'/memcpy':>9}{'/redis_unix':>12}")
    for (op, size, batch, threads), systems in sorted(medians.items()):
        for system in [name for name in COLOURS if name in systems]:
            row = systems[system]
            ratios = [ratio(systems, system, other) for other in ("memcpy", "redis_unix")]
            print(f"{op:4}{size_text(size):>8}{batch:6}{threads:4}  {system:18}{row['bytes_per_second'] / 1e9:7.2f}{row['p50'] * 1e6:9.0f}"
                  f"{row['p99'] * 1e6:9.0f}{row['cpu']:9.3f}{row['client']:7.3f}{row['server']:7.3f}"
                  + "".join(f"{value:{width}.2f}" if value else " " * width for value, width in zip(ratios, (9, 12))))


def print_verdicts(medians, folder):
    """What the planes are held to, as measured in this run."""
    for size in (1 << 20, 4 << 20):
        systems = medians.get(("get", size, 8, 1), {})
        for system in ("larder_shm", "larder_shm_view"):
            values = [ratio(systems, system, "memcpy"), ratio(systems, system, "redis_unix"), ratio(systems, system, "redis_unix", "cpu")]
            if all(values):
                print(f"get {size_text(size)}, batch 8, {system}: {values[0]:.2f} of memcpy (>= 0.60), {values[1]:.2f} times Redis over a unix socket"
                      f" (>= 3), {values[2]:.2f} of its CPU (<= 0.50)")
        for op in ("get", "put"):
            systems = medians.get((op, size, 8, 1), {})
            bare = max((systems[name]["bytes_per_second"] for name in ("bare_ucx_am", "bare_ucx_am_eager", "bare_ucx_tag") if name in systems), default=0)
            for system in ("larder_ucx", "larder_ucx_view"):
                if bare and system in systems:
                    print(f"{op} {size_text(size)}, batch 8, {system}: {systems[system]['bytes_per_second'] / bare:.2f} of bare UCX (>= 0.85)")
    small = folder / "small.json"
    if small.exists():
        report = json.loads(small.read_text())
        empty = report["empty_call_seconds"]["p50"]
        for name in ("lookup_get", "get_prefix"):
            p50 = report[f"{name}_seconds"]["p50"]
            print(f"16 KiB, {name}: p50 {p50 * 1e6:.0f} us, {p50 / empty:.2f} of an empty call ({empty * 1e6:.0f} us; <= 2)")
    idle = folder / "idle.json"
    if idle.exists():
        print(f"idle server: {json.loads(idle.read_text())['idle_core_share']:.2%} of a core (< 1 %)")
    perftest = folder / "ucx_perftest.out"
    if perftest.exists() and perftest.read_text().strip():
        print("beside, one cache-hot buffer: ucx_perftest tag_bw, 1 MiB, MB/s:", perftest.read_text().strip().splitlines()[-1].split()[-3:])


def draw(medians, path):
    """Gets of one thread with the largest batch: a group of bars per size."""
    cases = [(size, systems) for (op, size, batch, threads), systems in sorted(medians.items())
             if op == "get" and threads == 1 and batch == max(case[2] for case in medians)]
    if not cases:
        return
    names = [name for name in COLOURS if any(name in systems for _, systems in cases)]
    top = max(row["bytes_per_second"] for _, systems in cases for row in systems.values())
    bar, height, left = 14, 320, 60
    group = bar * (len(names) + 2)
    width = left + group * len(cases) + 180
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 70}" font-family="sans-serif" font-size="12">',
             f'<text x="{left}" y="16">get, largest batch, one thread: GB/s by block size</text>']
    for tick in range(6):
        y = 30 + height - height * tick / 5
        parts.append(f'<line x1="{left}" x2="{width - 170}" y1="{y}" y2="{y}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{top * tick / 5e9:.1f}</text>')
    for i, (size, systems) in enumerate(cases):
        for j, name in enumerate(names):
            if name in systems:
                tall = height * systems[name]["bytes_per_second"] / top
                parts.append(f'<rect x="{left + i * group + (j + 1) * bar}" y="{30 + height - tall:.1f}" width="{bar - 2}" height="{tall:.1f}"'
                             f' fill="{COLOURS[name]}"><title>{name}</title></rect>')
        parts.append(f'<text x="{left + (i + 0.5) * group}" y="{height + 48}" text-anchor="middle">{size_text(size)}</text>')
    for j, name in enumerate(names):
        parts.append(f'<rect x="{width - 160}" y="{30 + j * 18}" width="12" height="12" fill="{COLOURS[name]}"/>'
                     f'<text x="{width - 142}" y="{41 + j * 18}">{name}</text>')
    path.write_text("\n".join(parts) + "\n</svg>\n")
    print(f"chart: {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, help="also write the table here")
    parser.add_argument("--chart", type=pathlib.Path, help="draw the chart here (SVG)")
    arguments = parser.parse_args()
    medians = read_medians(arguments.folder)
    print_table(medians)
    print_verdicts(medians, arguments.folder)
    if arguments.chart:
        draw(medians, arguments.chart)
    if arguments.json:
        rows = [{"op": op, "block_bytes": size, "batch": batch, "threads": threads, "system": system, **row}
                for (op, size, batch, threads), systems in sorted(medians.items()) for system, row in systems.items()]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
