#!/usr/bin/env bash
# The SSD tier (ssd_bench, no server) beside fio with direct I/O, io_uring and registered buffers, at the same frame size and queue depth,
# taking turns in one run on one device. Both overwrite space that was written before.
#
#   tests/bench/ssd.sh [--build DIR] [--directory DIR] [--sizes "131072 1048576 4194304"] [--depth N] [--seconds S] [--rounds N] [--gib N]
#
# Needs a Release build (default build/release) and fio (deploy/install_packages.sh compare). Writes two files of --gib GiB (default 2) below
# --directory (default: the build folder) and deletes them. The table shows medians over the rounds, ratios, and 99th percentiles of reads
# while both also write 400 MB/s. The tier's figures include checksums, group commit and the catalog.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/release directory="" sizes="131072 1048576 4194304" depth=8 seconds=4 rounds=3 gib=2
while (($# > 0)); do
  case $1 in
    --build) build=$2 ;;
    --directory) directory=$2 ;;
    --sizes) sizes=$2 ;;
    --depth) depth=$2 ;;
    --seconds) seconds=$2 ;;
    --rounds) rounds=$2 ;;
    --gib) gib=$2 ;;
    *) sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2 ;;
  esac
  shift 2
done
[[ -x $build/bin/ssd_bench ]] || { echo "ssd: no $build/bin/ssd_bench; build with LARDER_BUILD_BENCH=ON first" >&2; exit 2; }
command -v fio >/dev/null || { echo "ssd: no fio; run deploy/install_packages.sh compare" >&2; exit 2; }
work=$(realpath "${directory:-$build}")/ssd_bench_work
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# fio_run NAME ARGUMENTS...: one fio run over the shared file; its JSON to $work/NAME.json.
fio_run() {
  local name=$1
  shift
  fio --filename="$work/fio.file" --size="${gib}G" --direct=1 --ioengine=io_uring --fixedbufs=1 --registerfiles=1 --refill_buffers=0 \
    --randrepeat=1 --output-format=json --output="$work/$name.json" "$@" >/dev/null
}

fio_run fill --name=fill --rw=write --bs=1M --iodepth=8
for size in $sizes; do
  for ((round = 0; round < rounds; round++)); do
    timed=(--bs="$size" --iodepth="$depth" --runtime="$seconds" --time_based)
    tag=$size.$round
    fio_run "fio_write.$tag" --name=write --rw=write "${timed[@]}"
    fio_run "fio_read.$tag" --name=read --rw=read "${timed[@]}"
    fio_run "fio_random_read.$tag" --name=read --rw=randread "${timed[@]}"
    fio_run "fio_mixed.$tag" --name=read --rw=randread "${timed[@]}" --name=write --rw=write "${timed[@]}" --rate=400m
    "$build/bin/ssd_bench" --directory "$work" --frame-bytes "$size" --depth "$depth" --seconds "$seconds" --budget-bytes $((gib << 30)) \
      --json "$work/tier.$tag.json" >/dev/null
    rm -rf "$work/tier"
    echo "ssd: $size bytes, round $((round + 1)) of $rounds done" >&2
  done
done
echo "depth $depth, medians of $rounds rounds of $seconds s; load average $(cut -d' ' -f1 /proc/loadavg), $(nproc) cores, ${gib} GiB files"
python3 tests/bench/ssd_table.py "$work"
