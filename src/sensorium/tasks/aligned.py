"""The handle of a model whose senses share one space: embed, compare, name without training, search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from jaxtyping import Float, Float32
from torch import Tensor

from sensorium.core.tower import Aligned
from sensorium.data.captions import Captions
from sensorium.data.decoded import ClipSpec, Spec
from sensorium.data.sense_table import Kind
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, InputError, unknown
from sensorium.families.aligned import FUSION, is_aligned, read_aligned
from sensorium.files import StrPath
from sensorium.inference.open import locate
from sensorium.modalities.kinds import modality_of
from sensorium.modalities.mel import MelSpec, log_mel
from sensorium.modalities.pixels import ImageSpec, Picture, image_batch
from sensorium.modalities.video import read_video
from sensorium.objectives.alignment import prepared
from sensorium.results import Classification
from sensorium.tasks.search import Hit, Index, index_folder, refuse_none
from sensorium.tasks.texts import checked
from sensorium.tasks.transcribe_model import Sound, samples_of
from sensorium.training.align_towers import reading
from sensorium.training.devices import device_of
from sensorium.training.typed import record

Vectors = Float32[np.ndarray, "n width"]
_AT_ONCE = 64
"""Things that are read together."""


class AlignedModel:
    """A loaded model of towers that share one space; `load` makes it.

    Args:
        model: the towers.
        captions: how texts become tokens; None where it reads none.
        specs: how the other senses are brought to one size.
        source: its name.
        device: where it computes.
    """

    def __init__(
        self, model: Aligned, *, captions: Captions | None, specs: dict[Kind, Spec], source: str, device: torch.device
    ) -> None:
        self.model, self.source = model.to(device).eval(), source
        self._captions, self._specs, self._device = captions, specs, device

    def __repr__(self) -> str:
        return f"AlignedModel({self.source!r}, senses: {', '.join(self.senses)})"

    @classmethod
    def open(cls, folder: StrPath, *, device: str = "auto", source: str | None = None) -> AlignedModel:
        """Open a folder that `align` made, or one of a CLIP, a SigLIP or a VisionTextDualEncoder.

        Raises:
            InputError: there is no such model or device.
            CheckpointError: files are missing or corrupt, or do not fit each other.
            CapabilityError: it is no model of several senses.
        """
        folder = Path(folder)
        if not is_aligned(folder):
            raise CapabilityError(
                "it has no senses that share a space", where=str(folder), fix="Make such a model by `sensorium align`"
            )
        place = device_of(device)
        model, told, preprocessor = read_aligned(folder)
        names = [name for name, _ in model.config.towers]
        captions = None
        if "text" in names:
            text = folder / "text" if (folder / FUSION).is_file() else folder
            captions = Captions(Tokenizer.from_folder(text), *reading(model))
        specs: dict[Kind, Spec] = {}
        if "image" in names:
            if preprocessor is None:
                raise CheckpointError(
                    "nothing says how pictures are made for it",
                    where=str(folder),
                    fix="Copy its preprocessor_config.json, too",
                )
            specs["image"] = ImageSpec.from_dict(preprocessor)
        if "audio" in names:
            specs["audio"] = record(MelSpec, _spec(told, "audio", folder), where=str(folder / FUSION))
        if "video" in names:
            specs["video"] = record(ClipSpec, _spec(told, "video", folder), where=str(folder / FUSION))
        return cls(model, captions=captions, specs=specs, source=source or str(folder), device=place)

    @property
    def senses(self) -> tuple[str, ...]:
        """What it reads: "text", "image", "audio", "video"."""
        return tuple(name for name, _ in self.model.config.towers)

    @property
    def width(self) -> int:
        """Of its vectors."""
        return self.model.config.towers[0][1].width

    @cached_property
    def identity(self) -> str:
        """Tells models apart by their weights."""
        digest = xxhash.xxh3_128()
        for name, parameter in sorted(self.model.named_parameters()):
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def embed(
        self,
        texts: str | Sequence[str] | None = None,
        *,
        images: Sequence[Picture] | None = None,
        sounds: Sequence[Sound] | None = None,
        clips: Sequence[StrPath | bytes] | None = None,
    ) -> Vectors:
        """Vectors of length one; those of what belongs together lie close, whatever the sense.

        Args:
            texts: one text or several.
            images: paths, bytes, or pictures as `read_image` gives them.
            sounds: paths, bytes, or samples of one channel at the model's rate.
            clips: paths or bytes.

        Raises:
            InputError: not exactly one sense is given, or nothing of it.
            DataError: something cannot be read.
            CapabilityError: the model has no such sense, or an extra is not installed.
        """
        given: dict[Kind, Sequence[Any] | None] = {
            "text": [texts] if isinstance(texts, str) else texts, "image": images, "audio": sounds, "video": clips,
        }  # fmt: skip
        asked = [(kind, items) for kind, items in given.items() if items is not None]
        if len(asked) != 1 or not len(asked[0][1]):
            raise InputError("give one sense, and something of it", fix="For example embed(images=['photo.png'])")
        return self._embedded(*asked[0])

    def similarity(self, a: Float[np.ndarray, "n width"], b: Float[np.ndarray, "m width"]) -> Float[np.ndarray, "n m"]:
        """Cosines of vectors that `embed` gave."""
        found: Float[np.ndarray, "n m"] = a @ b.T
        return found

    def classify(
        self,
        images: Sequence[Any],
        labels: Sequence[str],
        *,
        template: str | Sequence[str] = "a picture of {}",
        sense: Kind = "image",
    ) -> list[Classification]:
        """Name things by labels that the model was not trained on (Radford et al. 2021).

        Args:
            images: what `embed` takes as pictures; or sounds or clips, with `sense`.
            labels: the names to choose from.
            template: a text with {} where the label stands; the vectors of several are averaged. "{}" takes the label
                alone.
            sense: "image", "audio" or "video".

        Raises:
            InputError: fewer than two labels, the same one twice, or a template without {}.
            DataError, CapabilityError: as `embed`.
        """
        names, templates = list(labels), [template] if isinstance(template, str) else list(template)
        if isinstance(labels, str) or len(names) < 2 or len(set(names)) != len(names):
            raise InputError("two labels or more are needed, each once", fix="For example labels=['a dog', 'a cat']")
        if not templates or not all("{}" in one for one in templates):
            raise InputError(f"template {template!r} has no place for the label", fix="Write {} where it stands")
        texts = np.mean([self.embed([one.replace("{}", name) for name in names]) for one in templates], axis=0)
        texts /= np.linalg.norm(texts, axis=1, keepdims=True)
        vectors = self._embedded(sense, images)
        with torch.inference_mode():
            logits = self.model.logits(
                torch.from_numpy(vectors).to(self._device), torch.from_numpy(texts.astype(np.float32)).to(self._device)
            )
            scores = logits.softmax(1) if self.model.bias is None else logits.sigmoid()
        return [_classification(names, row) for row in scores.cpu().tolist()]

    def index(self, folder: StrPath, *, file: StrPath | None = None, show_progress: bool | None = None) -> Index:
        """The vectors of the pictures, sounds and clips in a folder; see `index_folder`.

        Raises:
            InputError: there is no such folder, or something else than an index stands at `file`.
            DataError: there is no file in it that the model reads.
        """
        return index_folder(
            folder,
            self._embed_file,
            kinds=list(self._specs),
            identity=self.identity,
            file=file,
            show_progress=show_progress,
        )

    def search(
        self, query: str | None, index: Index | StrPath, *, like: StrPath | bytes | None = None, top_k: int = 10
    ) -> list[Hit]:
        """The files that lie nearest to a text, or to another file.

        Args:
            query: a text; or None, with `like`.
            index: what `index` gave, or the folder.
            like: a picture, a sound or a clip.
            top_k: how many.

        Raises:
            InputError: not exactly one of `query` and `like` is given; there is no such file or folder.
            DataError: a file cannot be read.
            CapabilityError: the model does not read what is asked for.
        """
        refuse_none(top_k)
        vector = self.asked(query, like=like)
        found = index if isinstance(index, Index) else self.index(index)
        return found.nearest(vector, top_k)

    def asked(self, query: str | None, *, like: StrPath | bytes | None = None) -> Float32[np.ndarray, " width"]:
        """The vector of what is looked for, as `Index.nearest` takes it; see `search`.

        Raises:
            InputError: not exactly one of `query` and `like` is given; there is no such file.
            DataError: the file cannot be read.
            CapabilityError: the model does not read what is asked for.
        """
        if (query is None) == (like is None):
            raise InputError("give a text, or a file that it is to be like", fix="Give one of them")
        if query is not None and not query.strip():
            raise InputError("the text is empty", fix="Say what to look for")
        return self._embed_like(like) if query is None else self._embed_text(query)

    def _embed_text(self, text: str) -> Float32[np.ndarray, " width"]:
        vector: Float32[np.ndarray, " width"] = self._embedded("text", [text])[0]
        return vector

    def _embed_like(self, like: StrPath | bytes | None) -> Float32[np.ndarray, " width"]:
        kind = modality_of(like) if like is not None else None
        if like is None or kind is None or kind == "text":
            raise InputError("it holds no picture, sound or clip", where=str(like), fix="Name another file")
        return self._embed_file(kind, like)

    def _embed_file(self, kind: Kind, file: StrPath | bytes) -> Float32[np.ndarray, " width"]:
        vector: Float32[np.ndarray, " width"] = self._embedded(kind, [file])[0]
        return vector

    def _embedded(self, kind: Kind, items: Sequence[Any]) -> Vectors:
        self._check(kind)
        if kind == "text":
            items = checked(items)
        found = [self._vectors(kind, items[start : start + _AT_ONCE]) for start in range(0, len(items), _AT_ONCE)]
        return np.concatenate(found)

    def _check(self, kind: Kind) -> None:
        if kind not in self.senses:
            raise CapabilityError(
                f"the model reads no {kind}; it reads {', '.join(self.senses)}", where=self.source, fix="Use another"
            )

    @torch.inference_mode()
    def _vectors(self, kind: Kind, items: Sequence[Any]) -> Vectors:
        valid = None
        if kind == "text":
            if self._captions is None:
                raise CheckpointError("nothing says how texts are made for the model")
            x, valid = self._captions.batch(self._captions.ids(items), self._device)
        else:
            x = _READERS[kind](items, self._specs[kind]).to(self._device)
        return self.model.embed(kind, x, valid=valid).float().cpu().numpy()


def open_aligned(source: StrPath, *, device: str = "auto") -> AlignedModel:
    """Open a model of several senses: its folder, or "default:align".

    Raises:
        InputError: there is no such model or device.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: it is no model of several senses.
    """
    return AlignedModel.open(locate(source)[0], device=device, source=str(source))


def _read_images(items: Sequence[Any], spec: Spec) -> Tensor:
    if not isinstance(spec, ImageSpec):
        raise CheckpointError("nothing says how pictures are made for the model")
    return image_batch(items, spec)


def _read_sounds(items: Sequence[Any], spec: Spec) -> Tensor:
    if not isinstance(spec, MelSpec):
        raise CheckpointError("nothing says how sounds are made for the model")
    mels = log_mel([samples_of(item, rate=spec.rate) for item in items], spec)
    return prepared("audio", mels.half().float(), spec)  # in training they were kept in 16 bits


def _read_clips(items: Sequence[Any], spec: Spec) -> Tensor:
    if not isinstance(spec, ClipSpec):
        raise CheckpointError("nothing says how clips are made for the model")
    frames = [read_video(item, frames=spec.frames, size=spec.size, sound_rate=None).frames for item in items]
    return prepared("video", torch.stack(frames), spec)


_READERS: dict[Kind, Callable[[Sequence[Any], Spec], Tensor]] = {
    "image": _read_images, "audio": _read_sounds, "video": _read_clips,
}  # fmt: skip


def _spec(told: dict[str, Any], kind: str, folder: Path) -> dict[str, Any]:
    spec = told.get(kind)
    if not isinstance(spec, dict):
        raise CheckpointError(unknown("sense", kind, told), where=str(folder / FUSION), fix="Copy the folder anew")
    return {key: value for key, value in spec.items() if key != "kind"}


def _classification(names: Sequence[str], scores: Sequence[float]) -> Classification:
    ranked = sorted(zip(names, scores, strict=True), key=lambda pair: -pair[1])
    return Classification(label=ranked[0][0], score=ranked[0][1], scores=dict(ranked))
