"""`load` and the handle that it returns: one object, every task that the model can do.

A handle holds one engine or several and gives each task to the first engine that can do it: the default model is a
masked encoder and a causal decoder in one handle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, Unpack, overload

import torch

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, InputError, unknown
from sensorium.files import StrPath
from sensorium.inference.engine import Capability, Engine, Seq2SeqEngine
from sensorium.inference.fixtures import demand_verified
from sensorium.inference.logits import Number, check_whole
from sensorium.inference.open import EngineName, dtype_of, locate, open_engine
from sensorium.results import Answer, Chunk, Classification, Fill, Generation, Score, Tagging, Translation
from sensorium.tasks.answer import Context, check_questions
from sensorium.tasks.ask import AnswerOptions, ask
from sensorium.tasks.caption_model import Sees
from sensorium.tasks.classify import classify_all
from sensorium.tasks.fill_mask import fill_masks
from sensorium.tasks.generate import GenerateOptions, generate_all, request, sampling_of, stream
from sensorium.tasks.score import score_causal, score_pseudo
from sensorium.tasks.tag import tag_all
from sensorium.tasks.texts import checked, place
from sensorium.tasks.transcribe_model import Hears
from sensorium.tasks.translate import stream_translations, translate_all
from sensorium.tasks.wish import TranslateOptions, wish_of

Texts = list[str] | tuple[str, ...]
_KINDS: dict[Capability, str] = {
    "fill_mask": "a masked language model (an encoder such as BERT, or 'default:encoder')",
    "generate": "a causal language model (a decoder such as Llama or GPT-2, or 'default:decoder')",
    "score": "a masked or causal language model",
    "translate": "an encoder-decoder (such as Marian, BART or T5)",
    "answer": "a model that was trained on questions (an encoder with a span head)",
    "classify": "a model that was trained on classes (an encoder with a sequence classification head)",
    "tag": "a model that was trained on tags (an encoder with a token classification head)",
    "transcribe": "a model of speech (such as Whisper)",
    "caption": "a language model with eyes (a LLaVA folder, or what sensorium.give_eyes made)",
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
        source: a Hugging Face folder, a .gguf file, "default" (the bundled models for text; also "default:encoder",
            "default:decoder", "default:translate", "default:answer"), or a hub id "org/name" where huggingface_hub is
            installed.
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


class LanguageModel(Hears, Sees):
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
        writes = task == "answer" and "generate" in self.capabilities
        raise CapabilityError(
            f"this model cannot {task.replace('_', ' ')}; it can: {can}",
            where=self.source,
            fix=f"Load {wanted} for it" + (", or ask this one with method='generate'" if writes else ""),
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
        sampling = sampling_of(
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
        sampling = sampling_of(
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

    @overload
    def classify(self, text: str, *, pair: str | None = None) -> Classification: ...
    @overload
    def classify(self, text: Texts, *, pair: Texts | None = None) -> list[Classification]: ...
    def classify(self, text: str | Texts, *, pair: str | Texts | None = None) -> Classification | list[Classification]:
        """The class of a text, or of each text of a list.

        Args:
            text: what to classify; what is longer than the model's context is cut.
            pair: for a model of pairs, the second text, or one for each text of the list.

        Raises:
            InputError: a text is empty, or there are not as many second texts as first ones.
            CapabilityError: the model does not classify.
        """
        found = classify_all(self.engine_for("classify"), text, pair)
        return found[0] if isinstance(text, str) else found

    @overload
    def tag(self, text: str) -> Tagging: ...
    @overload
    def tag(self, text: Texts) -> list[Tagging]: ...
    def tag(self, text: str | Texts) -> Tagging | list[Tagging]:
        """The tags of a text's words, and the names that they mark; of each text of a list.

        Args:
            text: what to tag, of any length.

        Raises:
            CapabilityError: the model does not tag.
        """
        found = tag_all(self.engine_for("tag"), text)
        return found[0] if isinstance(text, str) else found

    @overload
    def translate(self, text: str, **options: Unpack[TranslateOptions]) -> Translation: ...
    @overload
    def translate(self, text: Texts, **options: Unpack[TranslateOptions]) -> list[Translation]: ...
    def translate(self, text: str | Texts, **options: Unpack[TranslateOptions]) -> Translation | list[Translation]:
        """Translate a text, or each text of a list.

        Args:
            text: of any length: what the model cannot read at once is translated sentence by sentence.
            options: see `TranslateOptions`.

        Raises:
            InputError: a language is not known, a sentence is longer than the model, an option is out of range, or a
                glossary's term cannot be produced.
            CapabilityError: the model does not translate.
        """
        engine = self._translator()
        wish, texts = wish_of(engine, **options), checked(text)
        found = translate_all(engine, texts, wish, lambda number: place(number, texts))
        return found[0] if isinstance(text, str) else found

    def stream_translate(
        self, texts: Iterable[str], *, at_once: int = 256, **options: Unpack[TranslateOptions]
    ) -> Iterator[Translation]:
        """The translation of every text of an iterable, in order, as it comes: a slow iterable's texts are translated
        one by one, a fast one's `at_once` at a time.

        Errors in the options are raised here, before the first translation is asked for.
        """
        check_whole("at_once", at_once, "1 or more", lambda x: x >= 1)
        engine = self._translator()
        return stream_translations(engine, texts, wish_of(engine, **options), at_once)

    def _translator(self) -> Seq2SeqEngine:
        engine = self.engine_for("translate")
        if not isinstance(engine, Seq2SeqEngine):
            raise CapabilityError("the model does not translate", where=self.source)
        return engine

    @overload
    def answer(self, question: str, *, context: Context, **options: Unpack[AnswerOptions]) -> Answer: ...
    @overload
    def answer(
        self, question: str, *, context: Context, top_k: int, **options: Unpack[AnswerOptions]
    ) -> list[Answer]: ...
    @overload
    def answer(
        self, question: Texts, *, context: Context | Sequence[Context], **options: Unpack[AnswerOptions]
    ) -> list[Answer]: ...
    @overload
    def answer(
        self, question: Texts, *, context: Context | Sequence[Context], top_k: int, **options: Unpack[AnswerOptions]
    ) -> list[list[Answer]]: ...
    def answer(
        self,
        question: str | Texts,
        *,
        context: Context | Sequence[Context],
        top_k: int | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Answer | list[Answer] | list[list[Answer]]:
        """Answer a question from a text, or each question of a list.

        Args:
            question: what is asked.
            context: the text to answer from, of any length, or `tasks.retrieve.Passages` of it; for a list of
                questions one for all, or one for each.
            top_k: a list of so many answers for a question, best first, instead of the best alone.
            options: `method`, `threshold`, `passages` and others: see `AnswerOptions`.

        Raises:
            InputError: a question or a context is empty, an option is out of range or is of the other method.
            CapabilityError: the model cannot answer that way, or `bm25s`, which finds passages, is not installed.
        """
        questions = check_questions(question)
        found = ask(self.engine_for, questions, context, top_k, **options)
        if isinstance(question, str):
            return found[0][0] if top_k is None else found[0]
        return [answers[0] for answers in found] if top_k is None else found
