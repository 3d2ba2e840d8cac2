#!/usr/bin/env bash
# Makes the virtual environment: locked and hash-checked; torch from TORCH_INDEX where one is named.
set -euo pipefail
venv=${1:?folder of the virtual environment}
python=${PYTHON:-python3}
say() { printf '\033[2m[setup]\033[0m %s\n' "$*"; }

"$python" - <<'PY' || { say "lorapool needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
import sys
raise SystemExit(sys.version_info < (3, 11))
PY
[ -x "$venv/bin/python" ] || { say "virtual environment in $venv"; "$python" -m venv "$venv"; }
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements/installer.txt
uv=("$venv/bin/uv" pip install --python "$venv/bin/python" --require-hashes --no-deps)
say "dependencies (usually under a minute)"
"${uv[@]}" -r requirements/dev.txt
if [ -n "${TORCH_INDEX:-}" ]; then
  version=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' requirements/torch.txt)
  say "torch $version from the index that TORCH_INDEX names"
  "$venv/bin/uv" pip install --python "$venv/bin/python" "torch==$version" --index-url "$TORCH_INDEX"
else
  say "torch with the CUDA libraries (3 GB, usually 20 s to a few minutes; TORCH_INDEX names a CPU-only index)"
  "${uv[@]}" -r requirements/torch.txt
fi
"$venv/bin/uv" pip install --python "$venv/bin/python" --quiet --no-deps --no-build-isolation --editable .
touch "$venv/.ready"
