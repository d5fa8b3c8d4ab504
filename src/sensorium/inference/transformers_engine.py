"""Stock `transformers` as an engine: every family that the core does not know, behind the same methods.

An extra. Everything of it is imported when a model is opened, and code that a model brings runs only if the caller
asks for it by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.data.tokenizer import ROLES, Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, require
from sensorium.families.checkpoint import read_config
from sensorium.files import StrPath
from sensorium.inference.engine import Capability, Ids, Logits, left_padded
from sensorium.inference.eos import end_tokens


class TransformersEngine:
    """A stock masked or causal language model.

    Args:
        model: an `AutoModelForMaskedLM` or `AutoModelForCausalLM`.
        tokenizer: the model's.
        causal: which of them.
        source: where it came from.
        eos_ids: tokens that end a generation.
    """

    name = "transformers"

    def __init__(
        self, model: Any, tokenizer: Tokenizer, *, causal: bool, source: str, eos_ids: Iterable[int] = ()
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.causal = causal
        self.source = source
        self.eos_ids = frozenset(eos_ids)
        self._first = _first_position(model)
        self.context = _context(model.config, self._first)
        self.device = model.device
        able: tuple[Capability, ...] = ("generate", "score") if causal else ("fill_mask", "score")
        self.capabilities = frozenset(able)

    @classmethod
    def open(
        cls,
        source: StrPath,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        trust_remote_code: bool = False,
    ) -> TransformersEngine:
        """Open a Hugging Face folder.

        Raises:
            CapabilityError: `transformers` is not installed, or has no masked or causal model of this kind.
            CheckpointError: it cannot read the folder.
        """
        hf = require("transformers", extra="transformers", purpose="the transformers engine")
        folder = Path(source)
        config = read_config(folder)
        names = [str(name) for name in config.get("architectures") or [""]]
        if "auto_map" in config and not trust_remote_code and config.get("model_type") not in hf.CONFIG_MAPPING:
            raise CapabilityError(
                "the model brings Python code of its own, which is not run unless you allow it",
                where=str(folder),
                fix="Read that code, then load with engine='transformers', trust_remote_code=True",
            )
        causal = _is_causal(names[0], str(config.get("model_type")), config, str(folder))
        opener = hf.AutoModelForCausalLM if causal else hf.AutoModelForMaskedLM
        options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
        try:
            with _quiet(hf.logging):
                model, report = opener.from_pretrained(
                    folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
                )
                stock = hf.AutoTokenizer.from_pretrained(folder, **options)
        except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError, AttributeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"transformers cannot open the model: {reason}", where=str(folder)) from error
        if report["missing_keys"]:
            missing = sorted(report["missing_keys"])
            raise CheckpointError(
                f"weights are missing: {', '.join(missing[:5])}" + (" ..." if len(missing) > 5 else ""),
                where=str(folder),
                fix="Copy the folder anew, or load a model that was saved with this head",
            )
        tokenizer = _wrap(stock, str(folder))
        eos = end_tokens(tokenizer, config, folder)
        return cls(model.to(device), tokenizer, causal=causal, source=str(source), eos_ids=eos)

    @torch.inference_mode()
    def masked_logits(self, sequences: Sequence[Ids], positions: Sequence[Ids]) -> Float[Tensor, "masks vocab"]:
        """See `Engine`."""
        if self.causal:
            raise CapabilityError("a causal model has no masked logits", where=self.source)
        ids, valid = self._right_padded(sequences)
        logits = self.model(input_ids=ids, attention_mask=valid.long()).logits
        rows = [row for row, places in enumerate(positions) for _ in places]
        columns = [at for places in positions for at in places]
        return logits[rows, columns].float()  # type: ignore[no-any-return]

    @torch.inference_mode()
    def logprobs(self, sequences: Sequence[Ids]) -> list[Float[Tensor, " scored"]]:
        """See `Engine`."""
        if not self.causal:
            raise CapabilityError("an encoder gives no causal log-probabilities", where=self.source)
        ids, valid = self._right_padded(sequences)
        logits = self.model(input_ids=ids, attention_mask=valid.long()).logits[:, :-1].float()
        chosen = logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.logsumexp(-1)
        return [row[: len(sequence) - 1].cpu() for row, sequence in zip(chosen, sequences, strict=True)]

    @torch.inference_mode()
    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[TransformersState, Logits]:
        """See `Engine`. The stock cache grows as needed, whatever the capacity."""
        if not self.causal:
            raise CapabilityError("an encoder does not generate", where=self.source)
        ids, valid = left_padded(sequences, self.tokenizer.pad_id or 0)
        mask = torch.ones_like(ids, dtype=torch.bool) if valid is None else valid
        state = TransformersState(self.model, mask.to(self.device), self._first)
        return state, state.read(ids.to(self.device))

    def _right_padded(
        self, sequences: Sequence[Ids]
    ) -> tuple[Int[Tensor, "rows longest"], Float[Tensor, "rows longest"] | Tensor]:
        rows = [torch.tensor(list(sequence)) for sequence in sequences]
        pad = self.tokenizer.pad_id or 0
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(row) for row in rows])
        valid = torch.arange(ids.shape[1])[None] < lengths[:, None]
        return ids.to(self.device), valid.to(self.device)


class TransformersState:
    """Rows in the middle of being decoded, with the stock cache.

    Families differ in what their forward pass takes: some have no positions (ALiBi), and a few (Mamba) no cache of
    the kind that rows can leave; those read each row anew at every step.
    """

    def __init__(self, model: Any, valid: Tensor, first: int = 0) -> None:
        self._model = model
        self._takes = inspect.signature(model.forward).parameters.keys()
        self._valid = valid
        self._first = first
        self._cache: Any = None
        self._rows: list[Tensor] = []

    def read(self, ids: Tensor) -> Logits:
        """Append the columns of `ids`; logits after the last."""
        if "past_key_values" not in self._takes:
            return self._read_anew(ids)
        options: dict[str, Any] = {"past_key_values": self._cache, "use_cache": True}
        if "position_ids" in self._takes:
            counted = (self._valid.long().cumsum(1) - 1).clamp(min=0)
            options["position_ids"] = self._first + counted[:, -ids.shape[1] :]
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = 1
        out = self._model(input_ids=ids, attention_mask=self._valid.long(), **options)
        self._cache = out.past_key_values
        return out.logits[:, -1].float()  # type: ignore[no-any-return]

    def _read_anew(self, ids: Tensor) -> Logits:
        parts = [row[valid] for row, valid in zip(ids, self._valid[:, -ids.shape[1] :], strict=True)]
        self._rows = [torch.cat(pair) for pair in zip(self._rows or [p[:0] for p in parts], parts, strict=True)]
        return torch.cat([self._model(input_ids=row[None]).logits[:, -1] for row in self._rows]).float()

    @torch.inference_mode()
    def step(self, tokens: Ids) -> Logits:
        """See `State`."""
        self._valid = torch.nn.functional.pad(self._valid, (0, 1), value=True)
        return self.read(torch.tensor(tokens, device=self._valid.device)[:, None])

    @torch.inference_mode()
    def keep(self, rows: Ids) -> None:
        """See `State`."""
        kept = torch.tensor(rows, device=self._valid.device)
        self._valid = self._valid[kept]
        self._rows = [self._rows[row] for row in rows] if self._rows else []
        if self._cache is not None:
            self._cache.batch_select_indices(kept)


def _is_causal(architecture: str, model_type: str, config: dict[str, Any], where: str) -> bool:
    from transformers.models.auto import modeling_auto as known

    causal = set(known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    masked = set(known.MODEL_FOR_MASKED_LM_MAPPING_NAMES.values())
    remote = config.get("auto_map") or {}
    if architecture in causal or (architecture not in masked and "AutoModelForCausalLM" in remote):
        return True
    pretraining = known.MODEL_FOR_PRETRAINING_MAPPING_NAMES.get(model_type) == architecture
    if (
        architecture in masked
        or "AutoModelForMaskedLM" in remote
        or (pretraining and model_type in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    ):
        return False
    raise CapabilityError(
        f"{architecture or model_type} is neither a masked nor a causal language model that transformers knows",
        where=where,
        fix="Load a model that was saved with a language head (…ForMaskedLM, …ForCausalLM)",
    )


@contextmanager
def _quiet(log: Any) -> Iterator[None]:
    """Hold back the bars and the report that `transformers` prints of a load: what matters of it is an error here."""
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _first_position(model: Any) -> int:
    """The row of the position table that the first token takes: in RoBERTa's kin, the one after the padding id."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "position_embeddings" and getattr(module, "padding_idx", None) is not None:
            return int(module.padding_idx) + 1
    return 0


def _context(config: Any, first: int) -> int | None:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(text, "max_position_embeddings", None)
    if size is None or size <= 0:
        return None
    return int(size) - first


def _wrap(stock: Any, where: str) -> Tokenizer:
    """The stock tokenizer's fast backend as ours.

    Raises:
        CapabilityError: it is a slow tokenizer, without one.
    """
    backend = getattr(stock, "backend_tokenizer", None)
    if backend is None:
        raise CapabilityError(
            f"its tokenizer {type(stock).__name__} has no fast form (tokenizer.json)",
            where=where,
            fix="Save a fast tokenizer into the folder",
        )
    special = {role: token for role in ROLES if (token := getattr(stock, f"{role}_token", None)) is not None}
    template = stock.chat_template
    return Tokenizer(backend, special, template if isinstance(template, str) else None)
