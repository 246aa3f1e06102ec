#!/usr/bin/env bash
# Larder's inline plane beside a bare gRPC stream, raw TCP and Redis: one run, one machine, one connection, blocks of 4 MiB over a working
# set larger than the last-level cache. The systems take turns in every round, so that drift of the machine hits all alike; the table
# shows medians over the rounds and the ratios.
#
#   tests/bench/inline_plane.sh [--build DIR] [--rounds N] [--seconds S] [--batches "1 8"] [--ops "get put"] [--json FILE]
#
# Needs a Release build (default build/release, as tests/run.sh makes it). Without redis-server (deploy/install_packages.sh compare) the
# Redis rows are left out. Writes into the build folder only and stops all it started. A shared machine gives shared figures: check the
# load average that the table prints.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/release rounds=5 seconds=5 batches="1 8" ops="get put" json=""
while (($# > 0)); do
  case $1 in
    --build) build=$2 ;;
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --batches) batches=$2 ;;
    --ops) ops=$2 ;;
    --json) json=$2 ;;
    *) sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2 ;;
  esac
  shift 2
done
readonly block_bytes=$((4 << 20)) blocks=96
load=(--block-bytes "$block_bytes" --blocks "$blocks" --concurrency 1)

for program in bare_grpc_stream raw_tcp larderd larder; do
  [[ -x $build/bin/$program ]] || { echo "inline_plane: no $build/bin/$program; build with LARDER_BUILD_BENCH=ON first" >&2; exit 2; }
done

work=$build/inline_plane
rm -rf "$work"
mkdir -p "$work"
name=inline_plane
. tests/bench/bench_servers.sh

start bare_grpc "$build/bin/bare_grpc_stream" --serve --block-bytes "$block_bytes" --blocks "$blocks"
grpc=$address
start raw_tcp "$build/bin/raw_tcp" --serve --block-bytes "$block_bytes" --blocks "$blocks"
tcp=$address
start larderd "$build/bin/larderd" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --dram-bytes 1GiB
larder=$address
systems=(larder bare_grpc bare_grpc_call_per_op raw_tcp)
if command -v redis-server >/dev/null && [[ -x $build/bin/redis_bench ]]; then
  start_redis
  redis=$address
  systems+=(redis_tcp redis_tcp_hiredis redis_unix)
else
  echo "inline_plane: no redis-server or redis_bench, the Redis rows are left out" >&2
fi

# measure SYSTEM FLAGS...: one timed run.
measure() {
  local system=$1
  shift
  case $system in
    larder) "$build/bin/larder" --address "$larder" --plane inline bench "$@" ;;
    bare_grpc) "$build/bin/bare_grpc_stream" --connect "$grpc" "$@" ;;
    bare_grpc_call_per_op) "$build/bin/bare_grpc_stream" --connect "$grpc" --call-per-op "$@" ;;
    raw_tcp) "$build/bin/raw_tcp" --connect "$tcp" "$@" ;;
    redis_tcp) "$build/bin/redis_bench" --connect "$redis" --client plain "$@" ;;
    redis_tcp_hiredis) "$build/bin/redis_bench" --connect "$redis" "$@" ;;
    redis_unix) "$build/bin/redis_bench" --connect "unix:$work/redis.sock" --client plain "$@" ;;
  esac
}

# Larder's memory is touched lazily, the others' working sets are not: fill it once before anything is timed.
measure larder --op put --batch 8 "${load[@]}" --seconds "$seconds" >"$work/warm_up.log" 2>&1 ||
  { echo "inline_plane: larder failed:" >&2; tail -n 20 "$work/warm_up.log" >&2; exit 1; }

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for ((round = 1; round <= rounds; round++)); do
  for op in $ops; do
    for batch in $batches; do
      for system in "${systems[@]}"; do
        [[ ! -t 2 ]] || printf '\r\033[Kround %d/%d  %s, batch %d: %s' "$round" "$rounds" "$op" "$batch" "$system" >&2
        run=$work/$op.$batch.$system.$round
        measure "$system" --op "$op" --batch "$batch" "${load[@]}" --seconds "$seconds" --json "$run.json" \
          >"$run.log" 2>&1 || { echo "inline_plane: $system failed:" >&2; tail -n 20 "$run.log" >&2; exit 1; }
      done
    done
  done
done
[[ ! -t 2 ]] || printf '\r\033[K' >&2
echo "blocks of $block_bytes bytes, working set $((blocks * block_bytes >> 20)) MiB, $rounds rounds of $seconds s, load average before: $load_before"
python3 -B tests/bench/inline_plane_table.py "$work" ${json:+--json "$json"}
