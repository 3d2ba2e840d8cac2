"""Forms with files (RFC 7578) as the fields of a request: pure."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from lorapool_gateway.errors import BadRequest
from lorapool_gateway.http.fields.fields import short

# It warns of each form that is none, which anybody may send; the refusal says the same.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

MEDIA_TYPE: Final = "multipart/form-data"
MAX_PARTS: Final = 64
_MAX_TEXT_BYTES: Final = 64 << 10
_MAX_NAME_CHARACTERS: Final = 100


@dataclass(frozen=True)
class Form:
    """What a form says, in its order.

    Attributes:
        texts, files: (name, value) of each part; a file is one that has a name of its own.
    """

    texts: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, bytes], ...]

    def files_of(self, name: str) -> tuple[bytes, ...]:
        """Those called so, or `name[]`, as lists are sent."""
        return tuple(data for given, data in self.files if given in (name, f"{name}[]"))

    def fields(self) -> dict[str, Any]:
        """The texts as JSON would have them. Clients send a list as `name[]`, and a list of objects as `name[][key]`.

        Raises:
            BadRequest: a name is said twice.
        """
        found: dict[str, Any] = {}
        for name, text in self.texts:
            whole, bracket, inner = name.partition("[]")
            key = inner.removeprefix("[").removesuffix("]")
            if not bracket and name in found:
                raise BadRequest(f"{short(name)} is in the form twice", param=short(name))
            if not bracket:
                found[name] = text
            elif not key:
                _list(found, whole).append(text)
            else:
                _object_for(_list(found, whole), key)[key] = text
        return found


def _list(found: dict[str, Any], name: str) -> list[Any]:
    made = found.setdefault(name, [])
    if not isinstance(made, list):
        raise BadRequest(f"{short(name)} is in the form twice", param=short(name))
    return made


def _object_for(items: list[Any], key: str) -> dict[str, Any]:
    """The last object, or a new one where that has the key already."""
    if not items or not isinstance(items[-1], dict) or key in items[-1]:
        items.append({})
    last: dict[str, Any] = items[-1]
    return last


@dataclass
class _FormPart:
    headers: dict[str, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)


class _Reader:
    """Collects the parts that the parser finds."""

    def __init__(self) -> None:
        self.parts: list[_FormPart] = []
        self.is_whole = False
        self._name, self._value = bytearray(), bytearray()

    def begin(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise BadRequest(f"a form has at most {MAX_PARTS} parts")
        self.parts.append(_FormPart())

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self.parts[-1].headers[self._name.decode("latin-1").lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def content(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += memoryview(data)[start:end]

    def end(self) -> None:
        self.is_whole = True


def is_form(content_type: str) -> bool:
    """Whether the header says that the body is a form with files."""
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def read_form(body: bytes, content_type: str) -> Form:
    """The form. Raises: BadRequest."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    reader = _Reader()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.header_name,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_part_data": reader.content,
                "on_end": reader.end,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise BadRequest(f"the form cannot be read: {short(str(error))}") from None
    if not reader.is_whole:
        raise BadRequest("the form breaks off")
    texts, files = [], []
    for part in reader.parts:
        name, is_file = _named(part.headers)
        if is_file:
            files.append((name, bytes(part.data)))
        else:
            texts.append((name, _text(name, part.data)))
    return Form(tuple(texts), tuple(files))


def _named(headers: Mapping[str, bytes]) -> tuple[str, bool]:
    kind, options = parse_options_header(headers.get("content-disposition", b""))
    name = options.get(b"name", b"").decode("utf-8", "replace")
    if kind != b"form-data" or not name or len(name) > _MAX_NAME_CHARACTERS:
        raise BadRequest("a part of the form has no name, or one that is too long")
    return name, b"filename" in options


def _text(name: str, data: bytearray) -> str:
    if len(data) > _MAX_TEXT_BYTES:
        raise BadRequest(f"{short(name)} has more than {_MAX_TEXT_BYTES} bytes", param=short(name))
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{short(name)} is no text in UTF-8", param=short(name)) from None
