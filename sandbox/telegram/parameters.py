"""Parameters: what a Bot API call carries, however it was sent.

In        a query string and a body: JSON, a form, or multipart with files.
Out       named values and uploads; JSON inside a form field is read where JSON is meant.
Promises  the same call means the same, however it was encoded.
Why       multipart is read here, in a few lines, because bots send few fields and whole files.
"""

import json
from dataclasses import dataclass, field
from email.message import Message as MimeHeaders
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from sandbox.telegram.refusals import BotApiError, bad_request
from sandbox.telegram.spoken import read_json, within_limit

BODY_BYTES_MAX = 52 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """One file that came with a call."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Parameters:
    """The named values and files of one call."""

    values: dict[str, Any]
    uploads: dict[str, Upload] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Read a parameter as text; a number becomes its digits."""
        value = self.values.get(name)
        return value if value is None or isinstance(value, str) else json.dumps(value)

    def whole(self, name: str) -> int | None:
        """Read a parameter as a whole number."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        try:
            number = int(value)
        except (TypeError, ValueError) as error:
            raise bad_request(f"parameter {name} must be a whole number") from error
        return within_limit(number, f"parameter {name}")

    def flag(self, name: str) -> bool:
        """Read a parameter as yes or no; no when absent."""
        value = self.values.get(name)
        if isinstance(value, str):
            return value.lower() in {"true", "yes", "1"}
        return bool(value)

    def json(self, name: str) -> Any:  # noqa: ANN401 (JSON is any of its kinds)
        """Read a parameter as JSON, which a form carries as text; None when absent or empty."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return read_json(value)
        except ValueError as error:
            raise bad_request(f"can't parse {name} JSON object") from error


async def read_parameters(request: Request) -> Parameters:
    """Read all parameters of a call from its query string and its body."""
    values: dict[str, Any] = dict(request.query_params)
    body = await _body(request)
    headers = MimeHeaders()
    headers["content-type"] = request.headers.get("content-type", "")
    kind = headers.get_content_type()
    if not body:
        return Parameters(values)
    if kind == "application/json":
        return Parameters(values | _json_object(body))
    if kind == "multipart/form-data":
        boundary = headers.get_boundary()
        if not boundary:
            raise bad_request("multipart without a boundary")
        fields, uploads = read_multipart(body, boundary)
        return Parameters(values | fields, uploads)
    return Parameters(
        values | dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    )


def read_multipart(body: bytes, boundary: str) -> tuple[dict[str, str], dict[str, Upload]]:
    """Split a multipart body into its text fields and its files."""
    fields: dict[str, str] = {}
    uploads: dict[str, Upload] = {}
    # The first delimiter has no line break before it, so one is lent to it.
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    for part in parts[1:]:
        if part.startswith(b"--"):
            break
        head, _, content = part.partition(b"\r\n\r\n")
        headers = MimeHeaders()
        for line in head.decode(errors="replace").split("\r\n"):
            title, _, value = line.partition(":")
            headers[title.strip() or "x-empty"] = value.strip()
        name = headers.get_param("name", header="content-disposition")
        filename = headers.get_filename()
        if not isinstance(name, str):
            continue
        if filename is None:
            fields[name] = content.decode(errors="replace")
        else:
            uploads[name] = Upload(name=filename, content=content)
    return fields, uploads


async def _body(request: Request) -> bytes:
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > BODY_BYTES_MAX:
            raise BotApiError(413, "Request Entity Too Large")
    return bytes(chunks)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = read_json(body)
    except ValueError as error:
        raise bad_request("can't parse request body as JSON") from error
    if not isinstance(parsed, dict):
        raise bad_request("can't parse request body as a JSON object")
    return parsed
