#!/usr/bin/env bash
# Writes the locks of the clients anew: the named version of each, what it asks for, hashes, no address of an index.
set -euo pipefail
cd "$(dirname "$0")"
lock() {
  echo "$1" >&2
  printf '%s\n' "${@:2}" | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links - -o "$1.txt"
}
lock huggingface-hub-0.24 huggingface-hub[inference]==0.24.7 pillow
lock huggingface-hub-0.28 huggingface-hub==0.28.1 pillow
lock huggingface-hub-0.34 huggingface-hub==0.34.4 pillow
lock huggingface-hub-1 huggingface-hub==1.0.1 pillow
lock huggingface-hub-2 huggingface-hub==2.4.0 pillow
# The first of version 1 were made for an httpx that took `proxies`.
lock openai-1.30 openai==1.30.5 'httpx<0.28'
lock openai-1.109 openai==1.109.1
lock openai-2 openai==2.0.0
lock openai-3 openai==3.57.0
lock sd-backend-client sd-backend-client==0.5.0
lock webuiapi-0.9.11 webuiapi==0.9.11
lock webuiapi-0.9.17 webuiapi==0.9.17
# No client: it makes requests from an OpenAPI page (tests/abuse).
lock schemathesis schemathesis==4.32.5
npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund
