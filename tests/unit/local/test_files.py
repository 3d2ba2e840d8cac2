"""Files that the node and the plane write: volumes, logs, keys, the plane's report."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from lorapool_local.control_plane import kubeconfig
from lorapool_local.errors import PlaneAlreadyRunning
from lorapool_local.node.containers.logs import LogQuery, LogWriter, last_lines, read_log, rotated
from lorapool_local.node.spec.environment import ConfigError
from lorapool_local.node.volumes.payload import FileContent, object_payload, write_payload
from lorapool_local.paths import StateDir
from lorapool_local.pki import load_or_create_authority, load_or_create_token
from lorapool_local.report import hold, is_supervised

# Volumes


def test_a_volume_shows_its_files_and_follows_changes(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": FileContent(b"1"), "sub/b": FileContent(b"2", 0o400)})
    write_payload(tmp_path, {"a": FileContent(b"3"), "c": FileContent(b"4")})

    shown = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".."))
    assert shown == ["a", "c"]
    assert (tmp_path / "a").read_bytes() == b"3"
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("..")]) == 2


def test_an_unchanged_volume_is_not_touched(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": FileContent(b"1")})
    before = (tmp_path / "..data").readlink()

    write_payload(tmp_path, {"a": FileContent(b"1")})

    assert (tmp_path / "..data").readlink() == before


def test_chosen_keys_go_to_chosen_paths() -> None:
    secret = {"data": {"a": base64.b64encode(b"A").decode(), "b": base64.b64encode(b"B").decode()}}

    found = object_payload("Secret", secret, [{"key": "a", "path": "x/y", "mode": 0o600}], 0o644)

    assert found == {"x/y": FileContent(b"A", 0o600)}


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x"])
def test_a_path_out_of_the_volume_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="leaves the volume"):
        object_payload("ConfigMap", {"data": {"a": "A"}}, [{"key": "a", "path": path}], 0o644)


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="missing-key"):
        object_payload("ConfigMap", {"data": {}}, [{"key": "missing-key", "path": "x"}], 0o644)


# Logs


async def read(path: Path, query: LogQuery | None = None) -> bytes:
    return b"".join([text async for text in read_log(path, query or LogQuery(), lambda: True)])


async def test_a_log_is_read_as_kubectl_asks(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "0.log")
    for line in (b"one", b"two", b"three"):
        writer.write("stdout", line)
    writer.close()
    path = tmp_path / "0.log"

    assert await read(path) == b"one\ntwo\nthree\n"
    assert await read(path, LogQuery(tail_lines=2)) == b"two\nthree\n"
    assert await read(path, LogQuery(tail_lines=0)) == b""
    assert await read(path, LogQuery(limit_bytes=5)) == b"one\nt"
    assert await read(path, LogQuery(since=datetime.now(UTC) + timedelta(minutes=1))) == b""
    assert await read(path, LogQuery(since=datetime.now(UTC) - timedelta(minutes=1))) == b"one\ntwo\nthree\n"
    assert (await read(path, LogQuery(timestamps=True, tail_lines=1))).endswith(b"Z three\n")
    assert last_lines(path, lines=1) == "three\n"


async def test_the_parts_of_a_long_line_are_joined(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "0.log")
    writer.write("stdout", b"begin ", whole=False)
    writer.write("stdout", b"end")
    writer.close()

    assert await read(tmp_path / "0.log") == b"begin end\n"


async def test_a_log_keeps_its_newest_lines_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(path, max_bytes=1000)
    for number in range(200):
        writer.write("stdout", str(number).encode())
    writer.close()

    assert path.stat().st_size + rotated(path).stat().st_size <= 2000
    lines = (await read(path)).split()
    assert lines[-1] == b"199"
    assert len(lines) > 10


# Keys


def test_an_authority_outlives_a_restart(tmp_path: Path) -> None:
    first = load_or_create_authority(tmp_path).certificate_file.read_bytes()

    assert load_or_create_authority(tmp_path).certificate_file.read_bytes() == first
    assert load_or_create_token(tmp_path, "admin") == load_or_create_token(tmp_path, "admin")


def test_two_authorities_have_nothing_in_common(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    certificates = [
        x509.load_pem_x509_certificate(load_or_create_authority(folder).certificate_file.read_bytes())
        for folder in folders
    ]

    assert certificates[0].subject != certificates[1].subject
    assert load_or_create_token(folders[0], "admin") != load_or_create_token(folders[1], "admin")


def test_a_certificate_says_who_and_where(tmp_path: Path) -> None:
    authority = load_or_create_authority(tmp_path)
    pair = authority.issue("node", "system:node:n", ["system:nodes"], ["127.1.0.1", "kubernetes"])

    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())

    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate_file.read_bytes()))
    [group] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert group.value == "system:nodes"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.1.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes"]


def test_keys_and_kubeconfigs_are_for_their_owner_alone(tmp_path: Path) -> None:
    authority = load_or_create_authority(tmp_path)
    content = kubeconfig.with_token("https://127.1.0.1:1", authority.certificate_file, "t")
    written = kubeconfig.write(tmp_path / "kubeconfig", content)

    for path in (tmp_path / "ca.key", written):
        assert path.stat().st_mode & 0o777 == 0o600


# The report


def test_a_folder_is_held_by_one_supervisor(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with hold(state):
        assert is_supervised(state)
        with pytest.raises(PlaneAlreadyRunning), hold(state):
            pass
    assert not is_supervised(state)


def test_a_folder_that_is_not_there_is_not_supervised(tmp_path: Path) -> None:
    assert not is_supervised(StateDir(tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []
