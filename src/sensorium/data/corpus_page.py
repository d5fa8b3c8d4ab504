"""The page of a prepared corpus: what became of the documents, why some went, and what is left.

A section without anything to show is left out, so that the page of an older corpus is merely shorter. The same corpus
gives the same page: there is no date on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sensorium import __version__
from sensorium.data.corpus_report import REPORT, CorpusReport, DroppedDocument, SplitCounts, StageFlow
from sensorium.data.statistics import EDGES
from sensorium.data.top_ngrams import PIECE
from sensorium.errors import DataError
from sensorium.reports.blocks import Bar, Block, Code, Columns, Fact, Figure, Ranking, Table, Text
from sensorium.reports.numbers import Number, compact, duration
from sensorium.reports.page import Page, Section
from sensorium.reports.plots import Bars, bars

_RANKED, _LISTED, _SAMPLED_RULES, _PER_RULE = 15, 50, 12, 2
_EXCERPT = 160
_UNKNOWN = "–"
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def page(report: CorpusReport) -> Page:
    """The whole page, to be written with its `write`.

    Raises:
        DataError: what the report says is not what a report says.
    """
    try:
        return _page(report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        where = str(report.folder / REPORT)
        raise DataError(f"cannot be shown: {error!r}", where=where, fix="Prepare it again") from error


def _page(report: CorpusReport) -> Page:
    sections: dict[str, list[Block]] = {
        "What became of the documents": _flow(report),
        "What was dropped, and why": _reasons(report),
        "Languages and scripts": _languages(report),
        "Lengths": _lengths(report),
        "Commonest words": _ngrams(report),
        "Near-duplicates": _clusters(report),
        "What the stages counted": _counts(report),
        "The tokenizer": _tokenizer(report),
        "Sources and licences": _sources(report),
        "What could not be read": _problems(report),
        "Settings": [Code(json.dumps(report.manifest.get("settings", {}), indent=2, ensure_ascii=False))],
    }
    return Page(
        title=report.folder.resolve().name or "A corpus",
        lead="A corpus prepared by Sensorium: what came in, what was dropped on the way and why, and what is left.",
        facts=_facts(report),
        sections=[Section(title, blocks) for title, blocks in sections.items() if blocks],
        footer=f"Made by Sensorium {__version__}. This page holds everything that it shows; it fetches nothing.",
    )


def size(number: Number) -> str:
    """Bytes in short: 12 MB, 1.5 GB."""
    for unit, name in _UNITS:
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:.0f} B"


def share(part: Number, whole: Number) -> str:
    """A part in percent of a whole; of nothing, nothing."""
    return f"{part / whole:.1%}" if whole else _UNKNOWN


def _facts(report: CorpusReport) -> list[Fact]:
    pairs = report.kind == "parallel"
    tokens, length = (sum(sum(getattr(split, what)) for split in report.splits) for what in ("tokens", "bytes"))
    facts = [
        Fact("pairs" if pairs else "documents", compact(sum(split.documents for split in report.splits))),
        Fact("tokens", compact(tokens), "sources and targets" if pairs else ""),
        Fact("text", size(length)),
    ]
    if report.stages:
        came, left = report.stages[0].documents_in, report.stages[-1].documents_out
        facts.append(Fact("documents kept", share(left, came), f"of {compact(came)}"))
    if report.bytes_per_token:
        facts.append(Fact("bytes a token", f"{report.bytes_per_token:.2f}"))
    return facts


def _flow(report: CorpusReport) -> list[Block]:
    blocks: list[Block] = []
    if stages := report.stages:
        documents = [("read", stages[0].documents_in), *((stage.name, stage.documents_out) for stage in stages)]
        sizes = [("read", stages[0].bytes_in), *((stage.name, stage.bytes_out) for stage in stages)]
        blocks = [
            Columns(
                [_funnel("Documents left after each stage", documents, compact), _funnel("Text left", sizes, size)]
            ),
            Table(
                ["stage", "documents in", "dropped", "", "text in", "text out", "time"],
                [_stage_row(stage, report.seconds.get(stage.name)) for stage in stages],
                numeric=range(1, 7),
                caption=_others(report),
            ),
        ]
    rows = [
        [split.name, f"{split.documents:,}", *(" + ".join(map(spelled, of)) for spelled, of in _sides(split))]
        for split in report.splits
    ]
    head = ["split", "pairs" if report.kind == "parallel" else "documents", "tokens", "text"]
    return [*blocks, Table(head, rows, numeric=(1, 2, 3))]


def _sides(split: SplitCounts) -> list[tuple[Callable[[int], str], tuple[int, ...]]]:
    return [("{:,}".format, split.tokens), (size, split.bytes)]


def _funnel(title: str, values: Sequence[tuple[str, int]], spelled: Callable[[int], str]) -> Ranking:
    most = max(1, *(value for _, value in values))
    return Ranking(title, [Bar(name, value / most, spelled(value)) for name, value in values])


def _others(report: CorpusReport) -> str:
    """How long it took besides the stages."""
    besides = [name for name in report.seconds if name not in {stage.name for stage in report.stages}]
    return "; ".join(f"{name}: {_time(report.seconds[name])}" for name in besides)


def _time(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _stage_row(stage: StageFlow, seconds: float | None) -> list[str]:
    gone = stage.documents_in - stage.documents_out
    texts = [f"{stage.documents_in:,}", f"{gone:,}", share(gone, stage.documents_in), size(stage.bytes_in)]
    return [stage.name, *texts, size(stage.bytes_out), _time(seconds)]


def _reasons(report: CorpusReport) -> list[Block]:
    reasons = report.reasons
    if not reasons:
        return []
    most, total = reasons[0][2], sum(count for _, _, count in reasons)
    ranked = [Bar(_rule(stage, rule), count / most, compact(count)) for stage, rule, count in reasons[:_LISTED]]
    blocks: list[Block] = [Ranking(f"{total:,} documents by the rule that dropped them", ranked)]
    if report.has_samples:
        ranks = {(stage, rule): rank for rank, (stage, rule, _) in enumerate(reasons[:_SAMPLED_RULES])}
        by_rule: dict[int, list[DroppedDocument]] = {}
        for one in report.dropped():
            by_rule.setdefault(ranks.get((one.stage, one.rule), len(ranks)), []).append(one)
        rows = [_sample(one) for rank in range(len(ranks)) for one in by_rule.get(rank, [])[:_PER_RULE]]
        blocks.append(Table(["why", "document"], rows, caption=f"Some of them, {_PER_RULE} of each rule."))
    return blocks


def _rule(stage: str, rule: str) -> str:
    return rule if stage in ("", rule) else f"{stage}: {rule}"


def _sample(one: DroppedDocument) -> list[str]:
    text = " ".join(one.excerpt[: 2 * _EXCERPT].split())
    shown = text[:_EXCERPT] + ("…" if len(text) > _EXCERPT else "")
    return [_rule(one.stage, one.reason), f"{shown or '(no text)'} ({one.characters:,} characters, {one.source})"]


def _languages(report: CorpusReport) -> list[Block]:
    before = _counts_of(report.before, "languages")
    languages = {**{code: {} for code in before}, **report.languages}
    blocks: list[Block] = []
    if languages:
        whole, read = (sum(one.get("bytes", 0) for one in held.values()) for held in (languages, before))
        ordered = sorted(languages, key=lambda code: (-languages[code].get("bytes", 0), code))[:_LISTED]
        rows = [_language_row(code, languages[code], whole, before.get(code, {}), read) for code in ordered]
        head = ["language", "documents", "text", "share", "share as read", "words", "tokens", "certain"]
        told = [place for place in range(len(head)) if any(row[place] != _UNKNOWN for row in rows)]
        rows = [[row[place] for place in told] for row in rows]
        blocks.append(Table([head[place] for place in told], rows, numeric=range(1, len(told))))
    scripts = report.after.get("scripts") or report.manifest.get("scripts") or {}
    if scripts:
        unit = "letters" if report.after.get("scripts") else "documents"
        blocks.append(_ranking(f"Scripts, by {unit}", scripts))
    return blocks


def _language_row(code: str, counts: Mapping[str, int], whole: int, before: Mapping[str, int], read: int) -> list[str]:
    documents, length = counts.get("documents", 0), counts.get("bytes", 0)
    certain = share(counts["permille"], 1000 * documents) if counts.get("permille") else _UNKNOWN
    shares = [share(length, whole), share(before.get("bytes", 0), read)]
    sizes = [compact(counts[what]) if counts.get(what) else _UNKNOWN for what in ("words", "tokens")]
    return [code or "unknown", f"{documents:,}", size(length), *shares, *sizes, certain]


def _lengths(report: CorpusReport) -> list[Block]:
    blocks: list[Block] = []
    read, left = (report.before.get("lengths") or {}, report.after.get("lengths") or {})
    if left:
        both = [("as read", read, "muted"), ("in the corpus", left, "accent")]
        blocks.append(_histogram("characters", [(name, held, colour) for name, held, colour in both if held]))
    if tokens := report.token_lengths.to_dict():
        blocks.append(_histogram("tokens", [("in the corpus", tokens, "accent")]))
    return [Columns(blocks)] if len(blocks) > 1 else blocks


def _histogram(unit: str, series: Sequence[tuple[str, Mapping[str, int], Any]]) -> Figure:
    """How long documents are; the bins widen by the same factor."""
    edges = [0, *EDGES]
    used = [edges.index(int(edge)) for _, counts, _ in series for edge in counts]
    shown = edges[min(used) : max(used) + 1]
    groups = [compact(edge) if edge in (0, 1) or str(edge).strip("0") == "1" else "" for edge in shown]
    drawn = [Bars(name, [counts.get(str(edge), 0) for edge in shown], colour) for name, counts, colour in series]
    svg = bars(groups, drawn, y_label="documents", form="")
    alt = f"Histogram of documents by length, from {shown[0]:,} to {shown[-1]:,} {unit}"
    return Figure(svg, alt=alt, caption=f"Documents by their length in {unit}, on a logarithmic scale.")


def _ngrams(report: CorpusReport) -> list[Block]:
    held = report.after.get("ngrams") or {}
    titles = {"1": "Words", "2": "Pairs", "3": "Triples"}
    blocks: list[Block] = [_ngram_ranking(title, held[order]) for order, title in titles.items() if held.get(order)]
    read = (report.before.get("ngrams") or {}).get("3")
    if blocks and read:
        blocks.append(_ngram_ranking("Triples, as read", read))
    if not blocks:
        return []
    note = "A Chinese character counts as a word. "
    if (counted := float(held.get("share", 1))) < 1:
        note += (
            f"Counted in one piece of {PIECE} words in {round(1 / counted):,} and scaled up; behind ± stands the "
            "standard error of the count."
        )
    return [Text(note), Columns(blocks)]


def _ngram_ranking(title: str, ngrams: Sequence[Sequence[Any]]) -> Ranking:
    most = max(1, *(int(count) for _, count, _ in ngrams))
    shown = ngrams[:_RANKED]
    return Ranking(title, [Bar(str(text), count / most, _estimate(count, error)) for text, count, error in shown])


def _estimate(count: int, error: int) -> str:
    return f"{compact(count)} ± {compact(error)}" if error else compact(count)


def _clusters(report: CorpusReport) -> list[Block]:
    if not report.clusters:
        return []
    rows = [
        [
            f"{int(cluster.get('size', 0)):,}",
            str(cluster.get("kept", "")),
            ", ".join(map(str, cluster.get("examples", ()))),
        ]
        for cluster in report.clusters[:_LISTED]
    ]
    found = sum(stage.counts.get("clusters", 0) for stage in report.stages)
    caption = f"The largest of {found:,} clusters." if found else "The largest clusters."
    return [Table(["documents", "kept", "some of the others"], rows, numeric=(0,), caption=caption)]


def _counts(report: CorpusReport) -> list[Block]:
    rows = [[stage.name, what, f"{count:,}"] for stage in report.stages for what, count in stage.counts.items()]
    return [Table(["stage", "what", "how often"], rows, numeric=(2,))] if rows else []


def _tokenizer(report: CorpusReport) -> list[Block]:
    spec = report.manifest["tokenizer"].get("spec")
    blocks: list[Block] = [Text(f"{report.vocab_size:,} tokens" + (f" (`{spec}`)." if spec else "."))]
    if report.fertility:
        names = ("tokens_per_word", "tokens_per_character", "bytes_per_token", "coverage")
        rows = [[code, *(_measure(name, one.get(name)) for name in names)] for code, one in report.fertility.items()]
        head = ["language", "tokens a word", "tokens a character", "bytes a token", "coverage"]
        caption = "Coverage is the share of tokens that are neither unknown nor mere bytes of a character."
        blocks.append(Table(head, rows, numeric=range(1, 5), caption=caption))
    return blocks


def _measure(name: str, value: Number | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:.2%}" if name == "coverage" else f"{value:.2f}"


def _sources(report: CorpusReport) -> list[Block]:
    blocks: list[Block] = []
    licences = _counts_of(report.after, "licences")
    if any(licences):
        blocks.append(
            _ranking("Licences, by text", {name or "not stated": one["bytes"] for name, one in licences.items()}, size)
        )
    left, whole = _counts_of(report.after, "files"), int((report.after.get("files") or {}).get("parts") or 0)
    if not left.keys() <= {_path(file) for file in report.inputs}:
        whole = 0  # a stage has lost the column of the files
    rows = [
        _input_row(file, left, whole)
        for file in sorted(report.inputs, key=lambda file: -int(file.get("bytes") or 0))[:_LISTED]
    ]
    if rows:
        caption = f"Files: {len(report.inputs):,}" + (
            f"; the {_LISTED} largest" if len(report.inputs) > _LISTED else ""
        )
        head = ["file", "size", "documents in the corpus", "licence", "encoding"]
        blocks.append(Table(head, rows, numeric=(1, 2), caption=caption))
    return blocks


def _path(file: Mapping[str, Any]) -> str:
    """What an input is called, as documents tell it."""
    return str(file.get("path") or file.get("name") or "").encode("utf-8", "backslashreplace").decode()


def _input_row(file: Mapping[str, Any], left: Mapping[str, Mapping[str, int]], whole: int) -> list[str]:
    """A file, and how much of it is left: nothing, if names of so many parts are counted whole and it is not there."""
    path = _path(file)
    known = left.get(path) or ({"documents": 0} if path.count("/") < whole else {})
    documents = known.get("documents", file.get("documents"))
    length = size(file["bytes"]) if file.get("bytes") is not None else _UNKNOWN
    told = [str(file.get(what) or _UNKNOWN) for what in ("licence", "encoding")]
    return [path, length, _UNKNOWN if documents is None else f"{documents:,}", *told]


def _problems(report: CorpusReport) -> list[Block]:
    rows = [[str(one.get("where", "")), str(one.get("reason", ""))] for one in report.problems[:_LISTED]]
    # The list ends at some length; the count does not.
    counted = int((report.manifest["input"].get("counts") or {}).get("problems") or 0)
    found = max(counted, len(report.problems))
    caption = f"Files or rows: {found:,}" + (f"; the first {len(rows)}" if found > len(rows) else "")
    return [Table(["where", "what"], rows, caption=caption)] if rows else []


def _ranking(title: str, counts: Mapping[str, int], spelled: Callable[[int], str] = compact) -> Ranking:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_RANKED]
    most = max(1, *(count for _, count in ordered))
    return Ranking(title, [Bar(name, count / most, spelled(count)) for name, count in ordered])


def _counts_of(held: Mapping[str, Any], tally: str) -> dict[str, dict[str, int]]:
    """What a summary's tally counted, by name."""
    counts: dict[str, dict[str, int]] = (held.get(tally) or {}).get("counts") or {}
    return counts
