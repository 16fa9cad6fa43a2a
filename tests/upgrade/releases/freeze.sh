#!/usr/bin/env bash
# Keeps the version that is committed, to be released: its scripts, its bridge's wheel, and their hashes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
python=$(cd "$root" && pwd)/.venv/bin/python # after `make deps`
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git -C "$root" archive HEAD | tar -x -C "$scratch" # what is left of other builds would get into the wheel
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

cd "$scratch/extension"
make -s all
for script in *--*.sql; do
    xz -9e <"$script" >"$here/$script.xz"
    sha256sum "$script" >>"$here/SHA256SUMS"
done
cd "$scratch"
"$python" -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir wheel .
(cd wheel && sha256sum -- *.whl >>"$here/SHA256SUMS")
cp wheel/*.whl "$here"
LC_ALL=C sort -u -k 2 -o "$here/SHA256SUMS" "$here/SHA256SUMS"
