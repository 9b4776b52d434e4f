"""Pictures: the kind and size of an image, read from its first bytes.

In        the bytes of a PNG, JPEG or GIF.
Out       its kind and its width and height in pixels.
Promises  what Telegram refuses as a photo is refused here with the same words.
"""

from dataclasses import dataclass

from sandbox.telegram.refusals import bad_request

PHOTO_BYTES_MAX = 10 * 1024 * 1024
PHOTO_SIDES_MAX = 10_000
PHOTO_RATIO_MAX = 20

_JPEG_SIZES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of an image before anyone draws it."""

    kind: str
    width: int
    height: int


def read_photo(content: bytes) -> Picture:
    """Read an image that is to be sent as a photo, or refuse it."""
    if not content:
        raise bad_request("file must be non-empty")
    if len(content) > PHOTO_BYTES_MAX:
        raise bad_request("file is too big")
    picture = read_picture(content)
    if picture is None:
        raise bad_request("IMAGE_PROCESS_FAILED")
    short, long = sorted((picture.width, picture.height))
    if short == 0 or short + long > PHOTO_SIDES_MAX or long > short * PHOTO_RATIO_MAX:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return picture


def read_picture(content: bytes) -> Picture | None:
    """Read kind and size of an image; None when it is none that we know."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        return Picture(
            "png",
            int.from_bytes(content[16:20], "big"),
            int.from_bytes(content[20:24], "big"),
        )
    if content[:6] in {b"GIF87a", b"GIF89a"} and len(content) >= 10:
        return Picture(
            "gif",
            int.from_bytes(content[6:8], "little"),
            int.from_bytes(content[8:10], "little"),
        )
    return _read_jpeg(content) if content.startswith(b"\xff\xd8") else None


def _read_jpeg(content: bytes) -> Picture | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _JPEG_SIZES:
            height = int.from_bytes(content[at + 5 : at + 7], "big")
            width = int.from_bytes(content[at + 7 : at + 9], "big")
            return Picture("jpg", width, height)
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
