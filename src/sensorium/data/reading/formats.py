"""What a file is: its kind by its name, its compression by its first bytes, so that a misnamed one is read too.

A name may end in the kind and a compression, `.jsonl.zst`. Text without a known suffix is not taken for text: folders
hold too much that is none.
"""

from __future__ import annotations

from pathlib import PurePath

TEXT = frozenset({".txt", ".text", ".md", ".markdown"})
HTML = frozenset({".html", ".htm", ".xhtml"})
JSON_LINES = frozenset({".jsonl", ".ndjson"})
SEPARATED = {".csv": ",", ".tsv": "\t"}
"""Tables of text, and what stands between their cells."""
COLUMNAR = frozenset({".parquet", ".arrow", ".feather"})
WARC = frozenset({".warc", ".wet"})
PDF = frozenset({".pdf"})
ARCHIVES = frozenset({".zip", ".tar"})
PACKED = {".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bz2"}
"""Suffixes of compressed files. Columnar files and .zip are compressed within, and are not read from one."""
_TAR_SHORT = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz", ".tzst": ".zst"}
_NEVER_PACKED = COLUMNAR | {".zip"}
DOCUMENTS = TEXT | HTML | JSON_LINES | frozenset(SEPARATED) | COLUMNAR | WARC | PDF
"""Kinds of files that hold documents themselves."""
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"))


def suffix_of(name: str | PurePath) -> str:
    """The suffix that tells a file's format, in lower case, without that of the compression; "" if it has none."""
    return _split(name)[0]


def kind_of(name: str | PurePath) -> str | None:
    """The suffix that tells a file's format, or None if files of that kind are not read."""
    suffix, packed = _split(name)
    if suffix not in DOCUMENTS | ARCHIVES or (packed and suffix in _NEVER_PACKED):
        return None
    return suffix


def packing_of(head: bytes) -> str | None:
    """How a file is compressed, by its first bytes: "gzip", "zstd", "xz", "bz2"; None if it is not."""
    for magic, packing in _MAGIC:
        if head.startswith(magic):
            return packing
    # The level stands between the two parts of bzip2's mark; "BZh" alone may begin a text.
    return "bz2" if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90") else None


def readable() -> str:
    """All kinds, for an error's text."""
    return f"{', '.join(sorted(DOCUMENTS | ARCHIVES))}; all but columnar files and .zip also with {', '.join(PACKED)}"


def _split(name: str | PurePath) -> tuple[str, bool]:
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    if suffixes and suffixes[-1] in _TAR_SHORT:
        return ".tar", True
    packed = bool(suffixes) and suffixes[-1] in PACKED
    if packed:
        suffixes.pop()
    return (suffixes[-1] if suffixes else ""), packed
