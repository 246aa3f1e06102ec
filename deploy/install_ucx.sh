#!/usr/bin/env bash
# Fetches a UCX that is newer than the distribution's into build/ucx, from PyPI, by hash. CMake prefers it there.
#
# UCX 1.13 of Debian 12 aborts its process when a TCP connection breaks at the wrong moment; kept from that it copies every byte once more
# at each end (transport/FORMAT.md). Never fails: without it the build takes libucx-dev, and this says so. Costs nothing when run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/stage.sh
trap 'rc=$?; stage_stop; exit $rc' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

readonly wheel=libucx-cu12==1.22.0
readonly sha256=5cbbef0c140a0a158ae3486089af659b38822b2234cd3dc90ba40a5e6553402a
readonly target=build/ucx work=build/ucx.new
# Beside its libraries UCX looks for settings. To watch memory being unmapped it patches libc while it is loaded, which takes every program
# 0.4 s here and serves a cache of registered memory: ours is registered once, by the window.
readonly settings='UCX_MEM_EVENTS=n'
readonly stamp="$wheel, $settings"

[[ $(cat "$target/WHEEL" 2>/dev/null) != "$stamp" ]] || exit 0
without() { echo "install_ucx: $1; the build takes the distribution's libucx, the plane ucx is slower"; exit 0; }
[[ $(uname -m) == x86_64 ]] || without "no wheel for $(uname -m)"

# Headers, CMake files and the libraries of TCP and shared memory: what needs CUDA stays behind.
unpack() {
  python3 - "$work" <<'PYTHON'
import pathlib, sys, zipfile
work = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    for name in wheel.namelist():
        part = name.removeprefix("libucx/")
        library = part.startswith(("lib/lib", "lib/ucx/libuct_cma")) and part.endswith((".so", ".so.0"))
        if part != name and (library or part.startswith(("include/", "lib/cmake/"))) and not part.endswith("/"):
            path = work / "prefix" / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wheel.read(name))
PYTHON
}
# Chained, because a caller that asks for its status turns off `set -e`.
fetch() {
  rm -rf "$work" && mkdir -p "$work" && echo "$wheel --hash=sha256:$sha256" >"$work/requirements.txt" &&
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes --timeout 20 --retries 2 \
      --dest "$work" --requirement "$work/requirements.txt" &&
    unpack && mkdir -p "$work/prefix/etc/ucx" && echo "$settings" >"$work/prefix/etc/ucx/ucx.conf" &&
    echo "$stamp" >"$work/prefix/WHEEL" && rm -rf "$target" && mv "$work/prefix" "$target" && rm -rf "$work"
}
stage "UCX from PyPI" build/log/ucx.log fetch || without "it could not be fetched (build/log/ucx.log)"
