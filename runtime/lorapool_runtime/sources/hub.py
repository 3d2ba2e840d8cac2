"""`hub` sources: files of a Hugging Face Hub repository at a commit."""

from pathlib import Path

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from pydantic import SecretStr

from lorapool_api.fetch.hub_errors import refused_by_hub
from lorapool_api.fetch.hub_files import choose_file
from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.sources import HubSource
from lorapool_api.wire.sources.basic import HubFile
from lorapool_runtime.errors import AdapterError
from lorapool_runtime.sources.blobs import hash_file
from lorapool_runtime.sources.limits import Expected


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


def fetch(source: HubFile, folder: Path, expected: Expected, token: SecretStr | None = None) -> tuple[Path, str]:
    """Download the file at its commit into the folder; return it and its sha256.

    Without a token the environment's counts, which is the pool's.

    Raises:
        AdapterError: what the Hub answers instead, or another content than expected.
    """
    try:
        bearer = None if token is None else token.get_secret_value()
        _check_announced(source, expected, bearer)
        file = hf_hub_download(source.repo, source.file, revision=source.revision, local_dir=folder, token=bearer)
    except AdapterError:
        raise
    except Exception as error:  # the library lets errors of its HTTP client through, whichever it has
        raise _typed(error, source) from error
    path = Path(file)
    sha256 = hash_file(path)
    expected.check_sha256(sha256)
    expected.check_size(path.stat().st_size)
    return path, sha256


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


def _check_announced(source: HubFile, expected: Expected, bearer: str | None) -> None:
    """Refuse what is too large before its first byte, and give a Hub up that does not answer.

    Asked for by itself: `hf_hub_download` waits 60 s for an answer, six times over.
    """
    address = hf_hub_url(source.repo, source.file, revision=source.revision)
    announced = get_hf_file_metadata(address, token=bearer, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    if announced.size is not None and announced.size > expected.max_bytes:
        expected.check_size(announced.size)


def _typed(error: Exception, source: HubFile) -> AdapterError:
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{source.repo}/{source.file}"
        return AdapterError(Reason.POD_FAILED, f"{where} cannot be stored: {error.strerror}", transient=True)
    return AdapterError.of(refused_by_hub(error, source.repo, f"{source.file} at {source.revision[:12]}"))
