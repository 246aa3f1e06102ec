#!/usr/bin/env bash
# What compression is for: blocks between two hosts on a link of a given rate, raw beside encoded. The hosts are network namespaces, joined
# by a veth pair with a token bucket on each end; needs root. Prints how long a get takes and how much of a raw one's time that is, beside
# how much of a raw block's bytes crosses.
#
#   tests/bench/hosts.sh [--build DIR] [--rate 1gbit] [--codecs "raw balanced ..."] [--requests N] [--tokens N]
#
# Every fetched byte is compared with what was put, as its codec decodes it. Writes into the build folder only; stops and removes all it made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/release rate=1gbit codecs="raw fp8 balanced compact" requests=30 tokens=1024
while (($# > 0)); do
  case $1 in
    --build) build=$2 ;;
    --rate) rate=$2 ;;
    --codecs) codecs=$2 ;;
    --requests) requests=$2 ;;
    --tokens) tokens=$2 ;;
    *) sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2 ;;
  esac
  shift 2
done
for program in larderd larder; do
  [[ -x $build/bin/$program ]] || { echo "hosts: no $build/bin/$program; build it first" >&2; exit 2; }
done
[[ $(id -u) == 0 ]] || { echo "hosts: network namespaces need root" >&2; exit 2; }
work=$build/hosts
rm -rf "$work"
mkdir -p "$work"
name=hosts
. tests/bench/bench_servers.sh

readonly server_space=larder-bs$$ client_space=larder-bc$$ server_address=127.77.0.1
remove() {
  stop_servers
  ip netns del "$server_space" 2>/dev/null || true
  ip netns del "$client_space" 2>/dev/null || true
}
trap remove EXIT
# side NAMESPACE DEVICE ADDRESS: addresses of 127/8, because larderd listens on loopback alone without TLS.
side() {
  ip -n "$1" link set lo up
  ip netns exec "$1" sysctl -qw "net.ipv4.conf.$2.route_localnet=1" "net.ipv4.conf.$2.rp_filter=0"
  ip -n "$1" addr del 127.0.0.1/8 dev lo
  ip -n "$1" addr add 127.0.0.1/32 dev lo
  ip -n "$1" addr add "$3/24" dev "$2"
  ip -n "$1" link set "$2" up
  tc -n "$1" qdisc add dev "$2" root tbf rate "$rate" burst 256kb latency 50ms
}
ip netns add "$server_space"
ip netns add "$client_space"
ip link add larder0 netns "$server_space" type veth peer name larder0 netns "$client_space"
side "$server_space" larder0 "$server_address"
side "$client_space" larder0 127.77.0.2

start larderd ip netns exec "$server_space" "$build/bin/larderd" --listen "$server_address:0" --metrics-listen 127.0.0.1:0 --dram-bytes 2GiB \
  --log-level error --codec-fidelity-min compact
larder=("$build/bin/larder" --address "$address" --timeout-ms 60000 --plane inline)
"${larder[0]}" trace generate --requests "$requests" --out "$work/trace" >/dev/null 2>&1
for codec in $codecs; do
  [[ ! -t 2 ]] || printf '\r\033[K%s' "$codec" >&2
  # A tenant each: the same blocks, stored in another form.
  ip netns exec "$client_space" "${larder[@]}" replay --trace "$work/trace" --verify --block-tokens "$tokens" --codec "$codec" \
    --tenant "$codec" --json "$work/$codec.json" >"$work/$codec.log" 2>&1 ||
    { echo "hosts: $codec failed:" >&2; tail -n 5 "$work/$codec.log" >&2; }
done
[[ ! -t 2 ]] || printf '\r\033[K' >&2

python3 -B - "$work" "$rate" "$codecs" <<'END'
import json, pathlib, sys

work, rate, codecs = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3].split()
print(f"{rate} between two namespaces, inline; a get takes all hit blocks of a request")
print(f"{'codec':12}{'frame bytes':>12}{'of raw':>8}{'get p50 ms':>12}{'of raw':>8}{'get p95 ms':>12}{'of raw':>8}{'hits':>7}{'wrong':>7}{'errors':>8}")
raw = None
bad = False
for codec in codecs:
    path = work / f"{codec}.json"
    if not path.exists():
        bad = True
        continue
    run = json.loads(path.read_text())
    get = run["latency_seconds"]["get"]
    now = run["block_frame_bytes"], get["p50"], get["p95"]
    raw = raw or now
    bad = bad or run["wrong_blocks"] or run["errors"] or not run["hit_blocks"]
    print(f"{codec:12}{now[0]:12}{now[0] / raw[0]:8.2f}{now[1] * 1e3:12.1f}{now[1] / raw[1]:8.2f}{now[2] * 1e3:12.1f}{now[2] / raw[2]:8.2f}"
          f"{run['hit_blocks']:7}{run['wrong_blocks']:7}{run['errors']:8}")
sys.exit(1 if bad else 0)
END
