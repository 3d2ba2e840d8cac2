"""`hub` sources: files of a Hugging Face Hub repository at a commit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # its documentation has them here
    build_hf_headers,
    hf_raise_for_status,
    http_stream_backoff,
)
from pydantic import SecretStr

from lorapool_api.fetch.hub_errors import refused_by_hub
from lorapool_api.fetch.hub_files import choose_file
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import HubSource
from lorapool_api.wire.sources.basic import HubFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.limits import Cancelled, Expected, Write, never, write_hashed

log = structlog.get_logger(__name__)

_RESUMES: Final = 3


def resolve(source: HubSource) -> HubFile:
    """The file and the commit that a source means today. Raises: AdapterError."""
    try:
        info = HfApi().model_info(source.repo, revision=source.revision)
    except Exception as error:  # the library lets errors of its HTTP client through, whichever it has
        named = HubFile(repo=source.repo, revision=source.revision, file=source.file or "")
        raise _typed(error, named) from error
    file = choose_file((s.rfilename for s in info.siblings or ()), source.file)
    if file is None or info.sha is None:
        wanted = f"file {source.file}" if source.file else ".safetensors file of weights"
        raise AdapterError(Reason.SOURCE_NOT_FOUND, f"{source.repo} holds no {wanted}")
    return HubFile(repo=source.repo, revision=info.sha, file=file)


def fetch(
    source: HubFile,
    folder: Path,
    expected: Expected,
    token: SecretStr | None = None,
    cancelled: Cancelled = never,
    write: Write = write_hashed,
) -> tuple[Path, str]:
    """Download the file at its commit into the folder; return it and its sha256.

    The Hub is asked once: `hf_hub_download` asks for what it knows of the file first, and cannot be given up in the
    middle. A download that breaks off goes on where it was, a few times. Without a token the environment's counts,
    which is the pool's.

    Raises:
        AdapterError: what the Hub answers instead, or another content than expected.
    """
    target = folder / "file"
    try:
        headers = build_hf_headers(token=None if token is None else token.get_secret_value())
        address = hf_hub_url(source.repo, source.file, revision=source.revision)
        return target, write(_chunks(address, headers, expected), target, expected, cancelled)
    except AdapterError:
        raise
    except Exception as error:  # the library lets errors of its HTTP client through, whichever it has
        raise _typed(error, source) from error


def fetch_sidecar(
    source: HubFile, name: str, folder: Path, max_bytes: int, token: SecretStr | None = None
) -> bytes | None:
    """The small file of that name in the same folder of the repository, or None where there is none.

    Raises:
        AdapterError: the Hub does not say whether there is one, or it is larger than such a file can be.
    """
    sidecar = source.model_copy(update={"file": str(Path(source.file).with_name(name))})
    try:
        file, _ = fetch(sidecar, folder, Expected(None, None, max_bytes), token)
    except AdapterError as error:
        if error.reason is Reason.SOURCE_NOT_FOUND:
            return None
        raise
    return file.read_bytes()


def _chunks(address: str, headers: Mapping[str, str], expected: Expected) -> Iterator[bytes]:
    """The body, as it comes: whoever drips it must be seen to. Raises: AdapterError, errors of the Hub's client."""
    received = 0
    for attempt in range(_RESUMES + 1):
        wanted = {**headers, "accept-encoding": "identity"} | ({"range": f"bytes={received}-"} if received else {})
        try:
            for chunk in _from(address, wanted, received, expected):
                received += len(chunk)
                yield chunk
        except Exception as error:
            if attempt == _RESUMES or not _broke_off(error):
                raise
            log.info("a download broke off; going on", at=received, error=type(error).__name__)
        else:
            return


def _from(address: str, headers: Mapping[str, str], first: int, expected: Expected) -> Iterator[bytes]:
    """From that byte on; at a commit a file never changes. Raises: AdapterError, errors of the Hub's client."""
    # A Hub that does not answer is asked again by whoever waits for the file, and not here.
    with http_stream_backoff(
        "GET", address, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        retry_on_exceptions=(), retry_on_status_codes=(),
    ) as response:  # fmt: skip
        hf_raise_for_status(response)
        if not response.headers.get("content-range", "bytes 0-").startswith(f"bytes {first}-"):
            raise AdapterError(Reason.SOURCE_UNAVAILABLE, "the Hub sent another part of the file than was asked for")
        announced = response.headers.get("content-length", "")
        if announced.isdigit() and first + int(announced) > expected.max_bytes:
            expected.check_size(first + int(announced))
        yield from response.iter_raw()


def _broke_off(error: Exception) -> bool:
    """Whether the connection ended; a Hub may close one just as it is used again. One that is slow has not.

    By its name: which HTTP client the library has is its own affair.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "TransportError" in kinds and "TimeoutException" not in kinds


def _typed(error: Exception, source: HubFile) -> AdapterError:
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{source.repo}/{source.file}"
        return AdapterError(Reason.POD_FAILED, f"{where} cannot be stored: {error.strerror}", transient=True)
    return AdapterError.of(refused_by_hub(error, source.repo, f"{source.file} at {source.revision[:12]}"))
