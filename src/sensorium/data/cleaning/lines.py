"""Lines that say nothing new: repeated ones, menus at the margins of a page, notices about cookies and copyright.

What is looked at is one document alone; lines that many documents share are found by deduplication. A menu is a run of
short lines that are no sentences, at the head or the foot of a document: where text extraction leaves most of them
(Pomikálek 2011, "Removing Boilerplate and Duplicate Content from Web Corpora", section 3: short blocks are boilerplate
by the company that they keep).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import regex

from sensorium.data.stages import TEXT, Mapped, with_texts

if TYPE_CHECKING:
    import pyarrow as pa

_WIDE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_SENTENCE_END = re.compile(r"[.!?。！？…：:;；,，]['\"”’»)）」』]*$")
_LISTED = re.compile(r"^(?:[-*•·#>]|\d{1,3}[.)、]|[（(]?[一二三四五六七八九十]{1,3}[)）、])\s*\S")
_MENU_LETTERS = 30
_MENU_LINES = 4
_NOTICE_LETTERS = 200
_NOTICE = re.compile(
    r"""
      (?:uses?|using|use\ of|accept(?:\ all)?|manage)\ cookies | cookie\ (?:policy|notice|settings|preferences)
    | privacy\ (?:policy|statement|notice) | terms\ (?:of|and|&)\ (?:use|service|conditions) | all\ rights\ reserved
    | ^(?:©|\(c\)|copyright\b) | skip\ to\ (?:main\ )?content | (?:please\ )?enable\ javascript
    | (?:subscribe|sign\ up)\ (?:to|for)\ (?:our|the)\ newsletter | share\ (?:this|on)\ (?:facebook|twitter)
    | cookie\s?(?:政策|设置|設定|声明) | 隐私(?:政策|声明|权) | 隱私(?:政策|聲明|權) | 服務條款
    | (?:服务|使用)(?:条款|协议) | 版权所有 | 版權所有 | 保留所有权利 | 著作权归 | [\u4e00-\u9fff]ICP[备证]
    | 公网安备 | 未经(?:授权|许可)[，,]?(?:不得|禁止|严禁)
    | ^(?:上一篇|下一篇|相关(?:阅读|推荐|文章)|责任编辑|打印本页|关闭窗口|扫一扫|分享到)
    """,
    re.VERBOSE | re.IGNORECASE,
)

_NOTICE_HINTS = (
    "cookie privacy terms reserved copyright © (c) skip javascript newsletter share "
    "隐私 隱私 条款 條款 协议 版权 版權 保留 著作权 icp 公网 未经 上一篇 下一篇 相关 编辑 打印 关闭 扫一扫 分享"
)
_HINTS = tuple(_NOTICE_HINTS.split())
"""Without one of these, in small letters, a line is no notice: they are found a hundred times as fast."""


def without_repeated_lines(text: str, *, longer_than: int | None = 20) -> tuple[str, int]:
    """The text without lines that say again what was said, and how many they were.

    Args:
        text: any text; lines are compared without the white space around them.
        longer_than: a line of more characters than this (of which a Chinese or Japanese one counts as two) stays
            only where it stands first; a shorter one goes only if the line before it (blank ones aside) is the same,
            for verses and tables repeat short lines with good reason. None: so with every line.
    """
    lines = text.split("\n")
    if len(lines) < 2:
        return text, 0
    stripped = [line.strip() for line in lines]
    if len(set(stripped)) == len(stripped):
        return text, 0
    seen, kept, before, dropped = set[str](), list[str](), "", 0
    for line, bare in zip(lines, stripped, strict=True):
        if bare and (bare == before or (bare in seen and longer_than is not None and _width(bare) > longer_than)):
            dropped += 1
            continue
        kept.append(line)
        seen.add(bare)
        before = bare or before
    return (_joined(kept), dropped) if dropped else (text, 0)


def without_boilerplate(text: str, *, menus: bool = True, notices: bool = True) -> tuple[str, int]:
    """The text without menus and notices, and how many lines they were.

    Args:
        text: any text, with line ends as the page had them.
        menus: drop runs of four or more lines at the head and the foot that are short, end in no mark, and are no
            items of a list; but not if nothing else is there.
        notices: drop lines of up to 200 characters that speak of cookies, privacy, copyright and the like.
    """
    if "\n" not in text:
        return text, 0
    lines = text.split("\n")
    small = text.lower() if notices else ""
    hints = [hint for hint in _HINTS if hint in small]
    drop = [_is_notice(line, hints) for line in lines] if hints else [False] * len(lines)
    if menus:
        short = [drop[place] or _is_menu_like(line) for place, line in enumerate(lines)]
        head = next((place for place, menu in enumerate(short) if not menu), len(lines))
        if head < len(lines):
            foot = next(place for place in range(len(lines), 0, -1) if not short[place - 1])
            for run in (range(head), range(foot, len(lines))):
                if sum(bool(lines[place].strip()) for place in run) >= _MENU_LINES:
                    for place in run:
                        drop[place] = bool(lines[place].strip())
    dropped = sum(drop)
    return (
        (_joined([line for line, out in zip(lines, drop, strict=True) if not out]), dropped) if dropped else (text, 0)
    )


def _joined(lines: list[str]) -> str:
    """Lines as a text; where some were taken out between two blank ones, one blank line is left."""
    kept = [line for place, line in enumerate(lines) if line.strip() or place == 0 or lines[place - 1].strip()]
    return "\n".join(kept).strip("\n")


def _width(line: str) -> int:
    return len(line) if line.isascii() else len(line) + len(_WIDE.findall(line))


def _is_notice(line: str, hints: list[str]) -> bool:
    if len(line) > _NOTICE_LETTERS:
        return False
    small = line.lower()
    return any(hint in small for hint in hints) and _NOTICE.search(line.strip()) is not None


def _is_menu_like(line: str) -> bool:
    """Whether a line may be an entry of a menu; a blank one may stand between two."""
    bare = line.strip()
    if not bare:
        return True
    if len(bare) > _MENU_LETTERS or _width(bare) > _MENU_LETTERS:
        return False
    return not _SENTENCE_END.search(bare) and not _LISTED.match(bare)


@dataclass(frozen=True, kw_only=True)
class RepeatedLines:
    """Takes repeated lines out of each document.

    Args:
        longer_than: characters from which on a line may stand only once in a document, not only not twice in a row.
    """

    longer_than: int | None = 20
    name: str = "repeated lines"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The texts without them."""
        texts: list[str] = batch.column(TEXT).to_pylist()
        done = [without_repeated_lines(text, longer_than=self.longer_than) for text in texts]
        return _mapped(batch, done, "repeated lines taken out")


@dataclass(frozen=True, kw_only=True)
class Boilerplate:
    """Takes menus and notices out of each document: for text of web pages.

    Args:
        menus: runs of short lines that are no sentences, at the head and the foot.
        notices: short lines about cookies, privacy, copyright and the like.
    """

    menus: bool = True
    notices: bool = True
    name: str = "boilerplate"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The texts without them."""
        texts: list[str] = batch.column(TEXT).to_pylist()
        done = [without_boilerplate(text, menus=self.menus, notices=self.notices) for text in texts]
        return _mapped(batch, done, "lines of boilerplate taken out")


def _mapped(batch: pa.RecordBatch, done: list[tuple[str, int]], what: str) -> Mapped:
    dropped = sum(count for _, count in done)
    return Mapped(with_texts(batch, [text for text, _ in done]), {what: dropped}) if dropped else Mapped(batch)
