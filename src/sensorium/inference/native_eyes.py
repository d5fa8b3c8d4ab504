"""Our core's decoder that sees as an engine: text alone as any decoder's, and prompts with pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sensorium.core.eyes import SeeingDecoder
from sensorium.core.stack import Hidden
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CheckpointError, SensoriumError
from sensorium.families.seeing import read_seeing
from sensorium.files import StrPath, read_json
from sensorium.inference.engine import Ids, Logits, left_padded
from sensorium.inference.eos import end_tokens
from sensorium.inference.eyes import Seen
from sensorium.inference.native import NativeEngine, NativeState
from sensorium.modalities.pixels import ImageSpec, Picture, image_batch

_AT_ONCE = 32
"""Pictures that are held as pixels at one time."""
NOTES, PROMPT = "sensorium.json", "caption_prompt"
"""The file and the key in which our own models say what they were trained to write a caption after."""


class NativeEyesEngine(NativeEngine):
    """A decoder of the core that sees, its tokenizer, and how pictures become what it sees.

    Args:
        model: on its device, in its precision. It is put into evaluation and its gradients are turned off.
        tokenizer: the model's.
        pictures: how pictures become what it sees.
        source: where it came from, for messages.
        eos_ids: tokens that end a generation.
        prompt: what it was trained to write a caption after; None where it does not say.

    Raises:
        CheckpointError: tokenizer, pictures and model do not fit each other.
    """

    def __init__(
        self,
        model: SeeingDecoder,
        tokenizer: Tokenizer,
        *,
        pictures: ImageSpec,
        source: str,
        eos_ids: Iterable[int] = (),
        prompt: str | None = None,
    ) -> None:
        super().__init__(model.text, tokenizer, source=source, eos_ids=eos_ids)
        self.eyes = model.eval().requires_grad_(False)
        self.pictures, self.prompt = pictures, prompt
        self.image_id, self.features = model.config.image_id, model.config.features
        self.capabilities = self.capabilities | {"caption"}
        if pictures.size != model.config.patches.size:
            raise CheckpointError(
                f"pictures come out {pictures.size[0]} × {pictures.size[1]}, the model reads "
                f"{model.config.patches.size[0]} × {model.config.patches.size[1]}",
                where=source,
                fix="Put the preprocessor_config.json that belongs to this model into the folder",
            )
        if not tokenizer.token(self.image_id):
            raise CheckpointError(
                f"the tokenizer has no token {self.image_id}, which stands for pictures",
                where=source,
                fix="Put the tokenizer files that belong to this model into the folder",
            )

    @classmethod
    def open(cls, source: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> NativeEyesEngine:
        """Open a LLaVA folder.

        Raises:
            InputError: there is no model.
            CheckpointError: it is corrupt or incomplete.
            CapabilityError: the core does not know its family, or how its pictures are made ready.
        """
        folder = Path(source)
        loaded = read_seeing(folder, dtype=dtype, device=device)
        tokenizer = _with_template(Tokenizer.from_folder(folder), folder)
        notes = read_json(folder / NOTES) if (folder / NOTES).is_file() else {}
        prompt = notes.get(PROMPT)
        return cls(
            loaded.model,
            tokenizer,
            pictures=_spec(folder, loaded.preprocessor),
            source=str(source),
            eos_ids=end_tokens(tokenizer, loaded.config.get("text_config") or {}, folder),
            prompt=prompt if isinstance(prompt, str) else None,
        )

    def see(self, pictures: Sequence[Picture]) -> Seen:
        """See `SeeingEngine`.

        Raises:
            InputError: a picture cannot be opened.
            DataError: one is not a picture, is damaged or too large.
        """
        dtype = self.eyes.text.stack.embed.tokens.weight.dtype
        parts = []
        for start in range(0, len(pictures), _AT_ONCE):
            with torch.inference_mode(False):  # the threads that decode pictures are not in it
                pixels = image_batch(pictures[start : start + _AT_ONCE], self.pictures)
            with torch.inference_mode():
                parts.append(self.eyes.see(pixels.to(device=self.device, dtype=dtype)))
        return torch.cat(parts)

    @torch.inference_mode()
    def look(self, sequences: Sequence[Ids], seen: Seen, capacity: int) -> tuple[NativeState, Logits]:
        """See `SeeingEngine`.

        Raises:
            InputError: there are more or fewer placeholders than vectors.
        """
        ids, valid = left_padded(sequences, self._filler)
        vectors = self.eyes.vectors(ids.to(self.device), seen)
        state = SeeingState(self.eyes.text, self._one_row, valid, len(sequences), capacity)
        return state, state.read_vectors(vectors)

    @property
    def _filler(self) -> int:
        """A token for the padding, which must not be taken for a place of a picture."""
        pad = self.tokenizer.pad_id
        return pad if pad is not None and pad != self.image_id else int(self.image_id == 0)


class SeeingState(NativeState):
    """Rows in the middle of being decoded, which begin with vectors in place of tokens."""

    def read_vectors(self, vectors: Hidden) -> Logits:
        """Append the columns of `vectors`; logits after the last."""
        end = self._cache.length + vectors.shape[1]
        valid: Tensor | None = None if self._valid is None else self._valid[:, :end]
        hidden = self._model.stack(vectors, valid=valid, cache=self._cache)
        return self._model.logits(hidden[:, -1]).float()


def _with_template(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    """The tokenizer with the chat template of the processor, where older folders keep one apart."""
    path = folder / "chat_template.json"
    template = read_json(path).get("chat_template") if path.is_file() else None
    return Tokenizer(tokenizer.backend, dict(tokenizer.special), template) if isinstance(template, str) else tokenizer


def _spec(folder: Path, settings: dict[str, object] | None) -> ImageSpec:
    if settings is None:
        raise CheckpointError(
            "preprocessor_config.json is missing, which says how pictures become what the model sees",
            where=str(folder),
            fix="Put the one that belongs to this model into the folder",
        )
    try:
        return ImageSpec.from_dict(settings)
    except SensoriumError as error:
        raise type(error)(error.problem, where=str(folder), fix=error.fix) from error
