"""`load` and the handle that it returns: one object, every task that the model can do.

A handle holds one engine or several and gives each task to the first engine that can do it: the default model is a
masked encoder and a causal decoder in one handle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Unpack, overload

import torch

from sensorium.data.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, InputError, unknown
from sensorium.files import StrPath
from sensorium.inference.engine import Capability, Engine
from sensorium.inference.fixtures import demand_verified
from sensorium.inference.logits import Number, Sampling
from sensorium.inference.open import EngineName, dtype_of, locate, open_engine
from sensorium.results import Chunk, Fill, Generation, Score
from sensorium.tasks.fill_mask import fill_masks
from sensorium.tasks.generate import GenerateOptions, generate_all, request, stream
from sensorium.tasks.score import score_causal, score_pseudo
from sensorium.tasks.texts import checked

Texts = list[str] | tuple[str, ...]
_KINDS: dict[Capability, str] = {
    "fill_mask": "a masked language model (an encoder such as BERT, or 'default:encoder')",
    "generate": "a causal language model (a decoder such as Llama or GPT-2, or 'default:decoder')",
    "score": "a masked or causal language model",
}


def load(
    source: StrPath,
    *,
    verify: bool = False,
    device: str = "auto",
    dtype: str | torch.dtype | None = None,
    engine: EngineName | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Open a model.

    Args:
        source: a Hugging Face folder, a .gguf file, "default" (the bundled models; also "default:encoder" and
            "default:decoder"), or a hub id "org/name" where huggingface_hub is installed.
        verify: hold the model to the fixtures that were saved with it, which are of float32.
        device: "cpu", "cuda", ...; "auto" takes a GPU if there is one.
        dtype: "float32" (the default), "bfloat16" or "float16".
        engine: "native" or "transformers"; by default native for every family that the core knows.
        trust_remote_code: let the transformers engine run Python code that the model brings.

    Raises:
        InputError: there is no such model, or `verify` is asked of another dtype than float32.
        CheckpointError: it is corrupt, or `verify` found that it does not compute what it did.
        CapabilityError: what it needs is not installed.
    """
    if engine not in (None, "native", "transformers"):
        raise InputError(unknown("engine", str(engine), ("native", "transformers")))
    if verify and dtype_of(dtype) != torch.float32:
        raise InputError(
            "the fixtures are of float32, and a model in less precision computes something else",
            where=str(source),
            fix="Load it with dtype='float32' to verify it, or check the folder with `sensorium verify`",
        )
    paths = locate(source)
    engines = [
        open_engine(path, engine=engine, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        for path in paths
    ]
    if verify:
        for opened, path in zip(engines, paths, strict=True):
            demand_verified(opened, path)
    return LanguageModel(engines, str(source))


class LanguageModel:
    """A loaded model. Tasks that it cannot do raise `CapabilityError`, which says what can."""

    def __init__(self, engines: Sequence[Engine], source: str) -> None:
        self.engines = tuple(engines)
        self.source = source

    def __repr__(self) -> str:
        return f"LanguageModel({self.source!r}, can: {', '.join(sorted(self.capabilities)) or 'nothing'})"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The tasks that the model can do."""
        return frozenset[Capability]().union(*(engine.capabilities for engine in self.engines))

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the (first) engine."""
        return self.engines[0].tokenizer

    def engine_for(self, task: Capability, *, causal: bool | None = None) -> Engine:
        """The engine that does a task.

        Raises:
            CapabilityError: none can.
        """
        able = [engine for engine in self.engines if task in engine.capabilities]
        chosen = [engine for engine in able if causal is None or engine.causal == causal]
        if chosen:
            return chosen[0]
        can = ", ".join(sorted(self.capabilities)) or "none of the tasks (it has no language head)"
        wanted = _KINDS[task] if causal is None else f"{'a causal' if causal else 'a masked'} language model"
        raise CapabilityError(
            f"this model cannot {task.replace('_', ' ')}; it can: {can}",
            where=self.source,
            fix=f"Load {wanted} for it",
        )

    @overload
    def fill_mask(self, text: str, *, top_k: int = 5, targets: str | Sequence[str] | None = None) -> list[Fill]: ...
    @overload
    def fill_mask(
        self, text: Texts, *, top_k: int = 5, targets: str | Sequence[str] | None = None
    ) -> list[list[Fill]]: ...
    def fill_mask(
        self, text: str | Texts, *, top_k: int = 5, targets: str | Sequence[str] | None = None
    ) -> list[Fill] | list[list[Fill]]:
        """Candidates for the masks of a text, best first; mask after mask where there are several.

        Args:
            text: with the model's mask token in it; or a list of such texts, for a list of lists.
            top_k: candidates a mask; ignored where `targets` are given.
            targets: the only candidates to compare; a string alone is one.

        Raises:
            InputError: no mask in a text, a text longer than the context, a target that is no single token.
            CapabilityError: the model does not fill masks.
        """
        engine = self.engine_for("fill_mask")
        found = fill_masks(engine, text, top_k=top_k, targets=targets)
        return found[0] if isinstance(text, str) else found

    @overload
    def generate(self, prompt: str, **options: Unpack[GenerateOptions]) -> Generation: ...
    @overload
    def generate(self, prompt: Texts, **options: Unpack[GenerateOptions]) -> list[Generation]: ...
    def generate(
        self,
        prompt: str | Texts,
        *,
        max_new_tokens: int = 128,
        temperature: Number | None = None,
        top_k: int | None = None,
        top_p: Number | None = None,
        min_p: Number | None = None,
        repetition_penalty: Number = 1.0,
        presence_penalty: Number = 0.0,
        frequency_penalty: Number = 0.0,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        ignore_eos: bool = False,
    ) -> Generation | list[Generation]:
        """Continue a prompt, or each prompt of a list.

        Args:
            prompt: what to continue; an empty one begins from the model's begin token.
            max_new_tokens: at most so many; fewer where the context ends before.
            temperature: 0 takes the likeliest token each time. By default 1 if any of `top_k`, `top_p`, `min_p`
                or `seed` is given, which ask for sampling, and 0 otherwise.
            top_k: sample among the k likeliest.
            top_p: sample among the likeliest that together reach this probability.
            min_p: sample among those at least this times as likely as the likeliest.
            repetition_penalty: above 1 makes tokens of prompt and continuation less likely.
            presence_penalty: taken once from the logit of every token generated before.
            frequency_penalty: taken from it as often as the token was generated.
            stop: ends the text before the first of these strings.
            seed: the same seed gives a prompt the same continuation, alone or in a list.
            ignore_eos: go on after the model's end token.

        Raises:
            InputError: the prompt leaves no room in the context, or a number is out of range.
            CapabilityError: the model does not generate.
        """
        engine = self.engine_for("generate")
        sampling = _sampling(
            temperature, top_k, top_p, min_p, seed, repetition_penalty, presence_penalty, frequency_penalty
        )
        results = generate_all(
            engine,
            prompt,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            stop=tuple(checked(stop, "stop string")),
            seed=seed,
            ignore_eos=ignore_eos,
        )
        return results[0] if isinstance(prompt, str) else results

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 128,
        temperature: Number | None = None,
        top_k: int | None = None,
        top_p: Number | None = None,
        min_p: Number | None = None,
        repetition_penalty: Number = 1.0,
        presence_penalty: Number = 0.0,
        frequency_penalty: Number = 0.0,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        ignore_eos: bool = False,
    ) -> Iterator[Chunk]:
        """Like `generate`, one chunk a token; the chunks' texts together are the generation's text.

        Errors in the arguments are raised here, before the first chunk is asked for.
        """
        engine = self.engine_for("generate")
        sampling = _sampling(
            temperature, top_k, top_p, min_p, seed, repetition_penalty, presence_penalty, frequency_penalty
        )
        stops = tuple(checked(stop, "stop string"))
        wanted = request(engine, checked([prompt], "prompt")[0], max_new_tokens, sampling, stops, seed, ignore_eos)
        return stream(engine, wanted)

    @overload
    def score(
        self, text: str, *, method: Literal["causal", "pseudo"] | None = None, stride: int | None = None
    ) -> Score: ...
    @overload
    def score(
        self, text: Texts, *, method: Literal["causal", "pseudo"] | None = None, stride: int | None = None
    ) -> list[Score]: ...
    def score(
        self,
        text: str | Texts,
        *,
        method: Literal["causal", "pseudo"] | None = None,
        stride: int | None = None,
    ) -> Score | list[Score]:
        """Log-probabilities of a text's tokens, perplexity, bits per byte.

        Args:
            text: what to score, of any length.
            method: "causal" (left to right) or "pseudo" (each token masked); by default what the model can,
                causal first.
            stride: causal: by how many tokens the windows move over a text longer than the context; half the
                context by default.

        Raises:
            InputError: a text is empty.
            CapabilityError: the model cannot score that way.
        """
        if method not in (None, "causal", "pseudo"):
            raise InputError(unknown("method", str(method), ("causal", "pseudo")))
        if method is None:
            scoring = [engine.causal for engine in self.engines if "score" in engine.capabilities]
            method = "causal" if True in scoring or not scoring else "pseudo"
            engine = self.engine_for("score", causal=(method == "causal") if scoring else None)
        else:
            engine = self.engine_for("score", causal=method == "causal")
        texts = checked(text)
        if not texts:
            return []
        scores = score_causal(engine, texts, stride=stride) if method == "causal" else score_pseudo(engine, texts)
        return scores[0] if isinstance(text, str) else scores


def _sampling(
    temperature: Number | None,
    top_k: int | None,
    top_p: Number | None,
    min_p: Number | None,
    seed: int | None,
    repetition: Number,
    presence: Number,
    frequency: Number,
) -> Sampling:
    if temperature is None:
        temperature = 0.0 if (top_k, top_p, min_p, seed) == (None, None, None, None) else 1.0
    return Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition,
        presence_penalty=presence,
        frequency_penalty=frequency,
    )
