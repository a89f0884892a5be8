#!/bin/sh
# arm64.sh: runs the Metal tests as arm64 programs under qemu-user, so that the
# calling convention of Apple's GPUs is tried where there is no such machine: Go's
# and purego's code for arm64, the emulated framework and the kernels cross-built.
#
#   apt-get install qemu-user g++-aarch64-linux-gnu
#   sh scripts/arm64.sh                    # runtime/mtl: suite, misuse, faults, limits
#   sh scripts/arm64.sh tests/emulated -test.run 'GoldensOnEmulatedMetal/kjv-2m'
set -eu
cd "$(dirname "$0")/.."
package=${1:-runtime/mtl}
[ $# -eq 0 ] || shift
for tool in qemu-aarch64 aarch64-linux-gnu-g++; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install qemu-user g++-aarch64-linux-gnu"; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The tests look for the system's compiler; here it builds for arm64.
printf '#!/bin/sh\nexec aarch64-linux-gnu-g++ "$@"\n' >"$work/c++"
chmod +x "$work/c++"
CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go test -c -o "$work/test" "./$package"
cd "$package"
PATH=$work:$PATH XDG_CACHE_HOME=$work/cache \
  qemu-aarch64 -L /usr/aarch64-linux-gnu "$work/test" -test.timeout 20m "$@"
