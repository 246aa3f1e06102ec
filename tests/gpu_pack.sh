#!/usr/bin/env bash
# Packs the programs that tests/gpu.sh --server runs, with the libraries they need, into one archive, for a machine that has a GPU but
# not the packages to build them: there, tests/gpu.sh --server --pack FILE.
#
#   tests/gpu_pack.sh [--bin FOLDER] FILE
#
#   --bin FOLDER   where the programs were built, with CUDA (default build/release/bin)
#   FILE           the archive to write (.tar.xz)
#
# The C and C++ runtimes stay behind: that machine's must be as new as this one's. Writes FILE only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=build/release/bin file=""
while (($# > 0)); do
  case $1 in
    --bin) bin=${2:?--bin needs a folder}; shift ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \?//p}' tests/gpu_pack.sh; exit 0 ;;
    -*) echo "gpu_pack.sh: unknown argument $1 (see --help)" >&2; exit 2 ;;
    *) file=$1 ;;
  esac
  shift
done
[[ -n $file ]] || { echo "gpu_pack.sh: name the archive to write (see --help)" >&2; exit 2; }

readonly programs=(gpu_codec_check gpu_codec_bench device_arena_conformance store_hbm_test server_codec_test device_blocks_conformance
  larder larderd larderd_faults crash_harness)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/lib"
for program in "${programs[@]}"; do
  [[ -x $bin/$program ]] || { echo "gpu_pack.sh: no $bin/$program: build with -DLARDER_CUDA=ON first" >&2; exit 1; }
  strip -o "$work/bin/$program" "$bin/$program"
  ldd "$bin/$program" | awk '$3 ~ /^\// { print $3 }'
done | sort -u | grep -Ev '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s)\.so' >"$work/libraries"
xargs -a "$work/libraries" cp -Lt "$work/lib"
mkdir -p "$(dirname "$file")"
# The programs share the kernels: a dictionary that spans several of them halves the archive.
XZ_OPT='--lzma2=preset=3,dict=256MiB' tar -C "$work" -cJf "$file" bin lib
printf 'packed %d programs and %d libraries: %s, %d MiB\n' "${#programs[@]}" "$(wc -l <"$work/libraries")" "$file" \
  "$(($(stat -c %s "$file") >> 20))"
