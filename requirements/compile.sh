#!/usr/bin/env bash
# Writes the locks anew: versions and hashes, no address of an index, torch in a file of its own.
# `UPGRADE=1` takes the newest versions; otherwise what is locked stays where it can.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() {
  echo "${*: -1}" >&2
  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links ${UPGRADE:+--upgrade} "$@"
}
# An override whose marker never holds drops torch, which an index of the user's choice may serve.
without_torch=$(mktemp)
trap 'rm -f "$without_torch"' EXIT
echo 'torch ; sys_platform == "never"' >"$without_torch"

lock --overrides "$without_torch" --extra dev pyproject.toml -o requirements/dev.txt
for part in control runtime-stub runtime quantized streamer train; do
  lock --overrides "$without_torch" --extra "$part" -c requirements/dev.txt pyproject.toml -o "requirements/$part.txt"
done
# torch and the CUDA libraries that it asks for.
lock --extra torch -c requirements/dev.txt pyproject.toml -o requirements/torch.txt
