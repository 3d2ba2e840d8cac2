#!/usr/bin/env bash
# Installs what bench-gateway compares with, in environments of their own: hundreds of packages that nothing else needs.
set -euo pipefail
folder="${XDG_CACHE_HOME:-$HOME/.cache}/lorapool/bench"
mkdir -p "$folder"
made() { # NAME PACKAGE...
  [ -x "$folder/$1/bin/python" ] || python3 -m venv "$folder/$1"
  uv pip install -q --python "$folder/$1/bin/python" "${@:2}"
}
made litellm 'litellm[proxy]==1.108.7'
made bare uvicorn==0.54.0 httptools==0.9.0 h11 granian==2.8.9 aiohttp==3.14.5 httpx==0.28.1 uvloop==0.23.0
