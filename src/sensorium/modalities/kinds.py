"""What a file is, by its first bytes: a picture, a sound, a clip or a text.

Unusual: the content decides. The name is asked only where a container may hold sound alone or a picture too (MP4,
Matroska, ASF), and a name that contradicts the bytes is not believed.
"""

from __future__ import annotations

import codecs
import os
import re
from typing import Literal

from sensorium.errors import DataError
from sensorium.files import StrPath
from sensorium.modalities.source import opened

Modality = Literal["image", "audio", "video", "text"]

_HEAD = 8192
_IMAGES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, in both orders of bytes, and its form for large files
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\1\0",  # ICO
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"qoif",
    b"8BPS",
    b"icns",
)
_SOUNDS = (b"fLaC", b"ID3", b"caff", b".snd", b"#!AMR", b"MAC ", b"wvpk", b"Creative Voice File", b"RF64")
_CLIPS = (b"FLV\1", b"\0\0\1\xba", b"\0\0\1\xb3")
_RIFF: dict[bytes, Modality] = {b"WEBP": "image", b"WAVE": "audio", b"AVI ": "video"}
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"jp2 ")
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ")
_SOUND_NAMES = frozenset({".m4a", ".m4b", ".mka", ".weba", ".wma", ".opus"})
_PNM = re.compile(rb"P[1-7][\s#]")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def modality_of(source: StrPath | bytes) -> Modality | None:
    """What a file, or its bytes, hold; None if that is none of the four, or nothing.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with opened(source) as file:
            head = file.read(_HEAD)
    except DataError:  # it is empty
        return None
    if head.startswith(_BOMS):  # one of which could begin a frame of MPEG sound, too
        return "text"
    suffix = "" if isinstance(source, bytes) else os.path.splitext(os.fspath(source))[1].lower()
    return _picture(head) or _boxed(head, suffix) or _sound(head) or _clip(head, suffix) or _text(head)


def looks_like(source: StrPath | bytes, *, meant: Modality) -> str:
    """The end of a sentence that says what a file is instead of what it was meant to be, if that is known."""
    kind = modality_of(source)
    if kind in (None, meant):
        return ""
    return f"; it looks like {'an' if kind in ('image', 'audio') else 'a'} {kind} file"


def _picture(head: bytes) -> Modality | None:
    bitmap = head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return "image" if head.startswith(_IMAGES) or _PNM.match(head) or bitmap else None


def _boxed(head: bytes, suffix: str) -> Modality | None:
    """Containers that say what they hold a few bytes later: RIFF, AIFF, and the family of MP4."""
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"FORM"):
        return "audio" if head[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV") else None
    if head[4:8] != b"ftyp":
        return "video" if head[4:8] in (b"moov", b"mdat", b"wide") else None
    brand = head[8:12]
    if brand in _PICTURE_BRANDS:
        return "image"
    return "audio" if brand in _SOUND_BRANDS or suffix in _SOUND_NAMES else "video"


def _sound(head: bytes) -> Modality | None:
    if head.startswith(b"OggS"):
        return "video" if b"theora" in head[:512] else "audio"
    return "audio" if head.startswith(_SOUNDS) or _mpeg_sound(head) else None


def _mpeg_sound(head: bytes) -> bool:
    """Whether a frame of MP3 or AAC without any tag begins here."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:  # AAC in ADTS: layer 0
        return True
    version, layer, bits, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bits not in (0, 15) and rate != 3


def _clip(head: bytes, suffix: str) -> Modality | None:
    either = head.startswith((b"\x1aE\xdf\xa3", b"0&\xb2u\x8ef\xcf\x11"))  # Matroska and WebM; ASF
    if either and suffix in _SOUND_NAMES:
        return "audio"
    packets = len(head) > 376 and head[0] == head[188] == head[376] == 0x47  # MPEG transport stream
    return "video" if either or packets or head.startswith(_CLIPS) else None


def _text(head: bytes) -> Modality | None:
    if _CONTROL.search(head) or head.startswith((b"RIFF", b"FORM", b"%PDF", b"%!PS")):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < _HEAD)
    except UnicodeDecodeError:
        return None
    return "text"
