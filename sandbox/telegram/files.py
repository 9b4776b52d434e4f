"""Files: photos and documents that bots sent, kept on disk under the name of their content.

In        bytes a bot uploaded, or the ``file_id`` it got for them before.
Out       the objects that the Bot API shows for them, and the bytes again.
Promises  the same bytes get the same ``file_id``, so that sending again needs no upload.
"""

import hashlib
import mimetypes
from pathlib import Path

from sandbox.telegram.parameters import Parameters, Upload
from sandbox.telegram.pictures import read_photo
from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import bad_request

DOCUMENT_BYTES_MAX = 50 * 1024 * 1024
WRONG_FILE = "wrong file identifier/HTTP URL specified"


class Files:
    """Keep what bots upload and find it by ``file_id`` or by path."""

    def __init__(self, records: Records, folder: Path) -> None:
        self._records = records
        self._folder = folder

    def photo(self, parameters: Parameters, value: object, field: str) -> list[Json]:
        """Read a photo that is uploaded or named, as the sizes that the Bot API shows."""
        upload = _upload(parameters, value, field)
        if upload is None:
            return [self._known(value, "photos")["shown"]]
        picture = read_photo(upload.content)
        sizes = {"width": picture.width, "height": picture.height}
        return [self._keep(upload.content, "photos", picture.kind, "AgACAgIAAxk", sizes)]

    def document(self, parameters: Parameters, value: object, field: str) -> Json:
        """Read a document that is uploaded or named, as the Bot API shows it."""
        upload = _upload(parameters, value, field)
        if upload is None:
            shown: Json = self._known(value, "documents")["shown"]
            return shown
        if not upload.content:
            raise bad_request("file must be non-empty")
        if len(upload.content) > DOCUMENT_BYTES_MAX:
            raise bad_request("file is too big")
        mime = mimetypes.guess_type(upload.name)[0] or "application/octet-stream"
        ending = Path(upload.name).suffix.lstrip(".") or "bin"
        about: Json = {"file_name": upload.name, "mime_type": mime}
        return self._keep(upload.content, "documents", ending, "BQACAgIAAxk", about)

    def described(self, file_id: str) -> Json:
        """Show a file with the path from which it can be downloaded."""
        known = self._records.file(file_id)
        if known is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        shown = known["shown"]
        return {
            "file_id": file_id,
            "file_unique_id": shown["file_unique_id"],
            "file_size": shown["file_size"],
            "file_path": known["path"],
        }

    def on_disk(self, file_path: str) -> Path | None:
        """Find the bytes of a file path; None when there are none, or it leads elsewhere."""
        path = (self._folder / file_path).resolve()
        return path if path.is_relative_to(self._folder.resolve()) and path.is_file() else None

    def _keep(self, content: bytes, kind: str, ending: str, prefix: str, about: Json) -> Json:
        digest = hashlib.sha256(content).hexdigest()
        file_id = f"{prefix}{digest[:40]}"
        path = f"{kind}/{digest[:24]}.{ending}"
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        shown = {
            "file_id": file_id,
            "file_unique_id": f"AQAD{digest[:12]}",
            "file_size": len(content),
            **about,
        }
        with self._records.transaction():
            self._records.save_file(file_id, {"kind": kind, "path": path, "shown": shown})
        return shown

    def _known(self, value: object, kind: str) -> Json:
        known = self._records.file(value) if isinstance(value, str) else None
        if known is None:
            fetched = str(value).startswith(("http://", "https://"))
            raise bad_request("failed to get HTTP URL content" if fetched else WRONG_FILE)
        if known["kind"] != kind:
            raise bad_request("can't use file of another type")
        return known


def _upload(parameters: Parameters, value: object, field: str) -> Upload | None:
    if isinstance(value, str) and value.startswith("attach://"):
        upload = parameters.uploads.get(value.removeprefix("attach://"))
        if upload is None:
            raise bad_request("file attached by attach:// is not in the request")
        return upload
    upload = parameters.uploads.get(field)
    if upload is None and not value:
        raise bad_request(f"there is no {field} in the request")
    return upload
