#!/usr/bin/env bash
# Every plane of Larder beside what bounds it and what people use instead: memcpy between the same kinds of pages, raw loopback TCP, UCX's own
# primitives, Redis over TCP and a unix socket. One run, one machine; the systems take turns in every round, so that drift of the machine hits
# all alike. Prints medians, ratios, what a small request costs, and draws a chart.
#
#   tests/bench/planes.sh [--build DIR] [--rounds N] [--seconds S] [--sizes "BYTES..."] [--batches "1 8"] [--threads "1 2"] [--ops "get put"]
#                         [--systems "NAME..."] [--json FILE] [--chart FILE.svg] [--quick]
#
# Frames are raw, the receiver verifies every checksum, and the working set (384 MiB) is larger than the last-level cache. `larder_shm` copies
# each block into its own destination; `larder_shm_view` leaves it in the window, where the reader verifies it, and puts from the window.
# The same with `larder_ucx` and `larder_ucx_view`.
# --systems: only these rows; ratios need their baselines. --quick: get of 1 and 4 MiB, batch 8, one thread, 3 rounds of 2 s.
# Needs a Release build. Without redis-server or ucx_perftest (deploy/install_packages.sh compare) their rows are left out. Writes into the
# build folder only and stops all it started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/release rounds=5 seconds=2 sizes="65536 262144 1048576 4194304 33554432" batches="1 8" threads="1 2" ops="get put"
json="" chart="" only=""
while (($# > 0)); do
  case $1 in
    --build) build=$2 ;;
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --sizes) sizes=$2 ;;
    --batches) batches=$2 ;;
    --threads) threads=$2 ;;
    --ops) ops=$2 ;;
    --systems) only=" $2 " ;;
    --json) json=$2 ;;
    --chart) chart=$2 ;;
    --quick) rounds=3 sizes="1048576 4194304" batches=8 threads=1 ops=get; shift; continue ;;
    *) sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2 ;;
  esac
  shift 2
done
readonly working_set=$((384 << 20))

for program in page_copy raw_tcp larderd larder; do
  [[ -x $build/bin/$program ]] || { echo "planes: no $build/bin/$program; build with LARDER_BUILD_BENCH=ON first" >&2; exit 2; }
done
work=$build/planes
rm -rf "$work"
mkdir -p "$work"
name=planes
. tests/bench/bench_servers.sh

start larderd "$build/bin/larderd" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --dram-bytes 1GiB --codec raw --ucx-listen 127.0.0.1:0
larder=$address
larderd_pid=${server_pids[-1]}
systems=(memcpy raw_tcp larder_inline larder_shm larder_shm_view)
"$build/bin/larder" --address "$larder" --plane ucx ping --count 1 >"$work/ucx.log" 2>&1 && systems+=(larder_ucx larder_ucx_view) ||
  echo "planes: $(tail -n 1 "$work/ucx.log")" >&2
[[ ! -x $build/bin/bare_ucx ]] || systems+=(bare_ucx_am bare_ucx_am_eager bare_ucx_tag)
if command -v redis-server >/dev/null && [[ -x $build/bin/redis_bench ]]; then
  start_redis
  redis=$address
  systems+=(redis_tcp redis_unix)
else
  echo "planes: no redis-server or redis_bench, the Redis rows are left out" >&2
fi
if [[ -n $only ]]; then
  kept=()
  for system in "${systems[@]}"; do
    [[ $only != *" $system "* ]] || kept+=("$system")
  done
  systems=("${kept[@]}")
fi
ticks=$(getconf CLK_TCK)

# larder PLANE FLAGS...: the window holds a batch twice over.
run_larder() { "$build/bin/larder" --address "$larder" --plane "$1" --window-bytes 640MiB --window-touch bench "${@:2}"; }
# measure SYSTEM FLAGS...: one timed run.
measure() {
  local system=$1
  shift
  case $system in
    memcpy) "$build/bin/page_copy" "$@" ;;
    raw_tcp) "$build/bin/raw_tcp" --connect "$tcp" "$@" ;;
    larder_inline) run_larder inline "$@" ;;
    larder_shm) run_larder shm "$@" ;;
    larder_shm_view) if [[ $op == get ]]; then run_larder shm "$@" --view; else run_larder shm "$@" --from-window; fi ;;
    larder_ucx) run_larder ucx "$@" ;;
    larder_ucx_view) if [[ $op == get ]]; then run_larder ucx "$@" --view; else run_larder ucx "$@" --from-window; fi ;;
    redis_tcp) "$build/bin/redis_bench" --connect "$redis" --client plain "$@" ;;
    redis_unix) "$build/bin/redis_bench" --connect "unix:$work/redis.sock" --client plain "$@" ;;
  esac
}
measure_ucx() { # PRIMITIVE OUTPUT
  "$build/bin/bare_ucx" --tls tcp --op "$op" --primitive "$1" --block-bytes "$size" --batch "$batch" \
    --working-set-bytes "$working_set" --seconds "$seconds" --json "$2"
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for size in $sizes; do
  blocks=$((working_set / size / 8 * 8))
  ((blocks >= 16)) || blocks=16
  start raw_tcp "$build/bin/raw_tcp" --serve --block-bytes "$size" --blocks "$blocks"
  tcp=$address
  for ((round = 1; round <= rounds; round++)); do
    for op in $ops; do
      for batch in $batches; do
        for thread in $threads; do
          for system in "${systems[@]}"; do
            [[ ! -t 2 ]] || printf '\r\033[Kround %d/%d  %s of %d bytes, batch %d, %d threads: %s' \
              "$round" "$rounds" "$op" "$size" "$batch" "$thread" "$system" >&2
            run=$work/$op.$size.$batch.$thread.$system.$round
            if [[ $system == bare_ucx_* ]]; then
              [[ $thread != 1 ]] || measure_ucx "${system#bare_ucx_}" "$run.json" >"$run.log" 2>&1 ||
                { echo "planes: $system failed:" >&2; tail -n 5 "$run.log" >&2; rm -f "$run.json"; }
              continue
            fi
            measure "$system" --op "$op" --batch "$batch" --block-bytes "$size" --blocks "$blocks" --concurrency "$thread" \
              --seconds "$seconds" --json "$run.json" >"$run.log" 2>&1 ||
              { echo "planes: $system failed:" >&2; tail -n 20 "$run.log" >&2; exit 1; }
          done
        done
      done
    done
  done
  kill -TERM "${server_pids[-1]}"
  unset 'server_pids[-1]'
done
[[ ! -t 2 ]] || printf '\r\033[K' >&2

# A small request, and a server with nothing to do.
"$build/bin/larder" --address "$larder" --plane shm bench --op small --block-bytes 16KiB --blocks 1024 --seconds "$seconds" \
  --json "$work/small.json" >"$work/small.log" 2>&1 || { echo "planes: the small requests failed:" >&2; tail -n 5 "$work/small.log" >&2; }
cpu_of() { awk '{print $14 + $15}' "/proc/$1/stat"; }
idle_begin=$(cpu_of "$larderd_pid")
sleep 5
idle_end=$(cpu_of "$larderd_pid")
awk -v t="$((idle_end - idle_begin))" -v hz="$ticks" 'BEGIN { printf "{\"idle_core_share\": %.4f}\n", t / hz / 5 }' >"$work/idle.json"
if command -v ucx_perftest >/dev/null; then
  UCX_TLS=tcp ucx_perftest >"$work/ucx_perftest.server" 2>&1 &
  server_pids+=($!)
  sleep 0.5
  UCX_TLS=tcp timeout 60 ucx_perftest 127.0.0.1 -t tag_bw -s 1048576 -n 2000 -f >"$work/ucx_perftest.out" 2>&1 || true
fi

echo "working set $((working_set >> 20)) MiB, $rounds rounds of $seconds s, load average before: $load_before"
python3 -B tests/bench/planes_table.py "$work" ${json:+--json "$json"} --chart "${chart:-$work/planes.svg}"
