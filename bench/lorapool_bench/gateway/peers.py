"""Other programs that pass requests on, before the same pod: nginx, and LiteLLM's proxy."""

import asyncio
import getpass
import os
import shutil
from asyncio.subprocess import PIPE, STDOUT
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from lorapool_api import names
from lorapool_bench.gateway.processes import ProcessTree, start

# Where `make bench-gateway-peers` installs LiteLLM: a thousand packages have no place among those of this repository.
BENCH_FOLDER: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lorapool/bench"
LITELLM: Final = BENCH_FOLDER / "litellm/bin/litellm"
_NGINX_CONF: Final = """
daemon off;
user {user};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_temp_path {folder}/nginx-bodies;
  proxy_temp_path {folder}/nginx-answers;
  fastcgi_temp_path {folder}/nginx-unused;
  uwsgi_temp_path {folder}/nginx-unused;
  scgi_temp_path {folder}/nginx-unused;
  upstream pod {{ server {pod}:{port}; keepalive 1024; }}
  server {{
    listen {address}:{port} backlog=4096;
    location / {{
      proxy_pass http://pod;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 300s;
    }}
  }}
}}
"""
_LITELLM_CONF: Final = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "http://{pod}:{port}/v1", api_key: none}}
"""


def find_nginx() -> str | None:
    """None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


async def start_nginx(stack: AsyncExitStack, program: str, folder: Path, address: str, pod: str) -> ProcessTree:
    """nginx with one worker, `proxy_pass` and connections that are kept."""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _NGINX_CONF.format(user=getpass.getuser(), folder=folder, address=address, pod=pod, port=names.SERVING_PORT)
    )
    return await start(stack, [program, "-c", str(configuration), "-e", str(folder / "nginx-start.log")], {})


async def start_litellm(stack: AsyncExitStack, folder: Path, address: str, pod: str) -> ProcessTree:
    """LiteLLM's proxy as it is started by its documentation, with one worker."""
    configuration = folder / "litellm.yaml"
    configuration.write_text(_LITELLM_CONF.format(pod=pod, port=names.SERVING_PORT))
    program = [str(LITELLM), "--config", str(configuration), "--host", address, "--port", str(names.SERVING_PORT)]
    environment = {
        "HOME": str(folder),
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        # The gateway of the bench has no keys either.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    return await start(stack, program, environment, log=folder / "litellm.log")


async def peer_versions() -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    if program := find_nginx():
        found["nginx"] = (await _said(program, "-v")).rpartition("/")[2].split()[0]
    if LITELLM.exists():
        about = "import importlib.metadata as m; print(m.version('litellm'))"
        found["litellm"] = (await _said(str(LITELLM.with_name("python")), "-c", about)).strip()
    return found


async def _said(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    out, _ = await process.communicate()
    return out.decode()
