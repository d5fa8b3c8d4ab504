"""What a loaded model does with pictures, and in a chat: the part of `LanguageModel` that sees and talks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from sensorium.errors import CapabilityError
from sensorium.inference.engine import Capability, Engine
from sensorium.inference.eyes import SeeingEngine
from sensorium.inference.logits import Number, check_whole
from sensorium.modalities.pixels import Picture
from sensorium.results import Chunk, Generation, Usage
from sensorium.tasks.caption import CaptionWish, caption_all
from sensorium.tasks.chat import chat_request, read_chat
from sensorium.tasks.generate import sampling_of, stream
from sensorium.tasks.texts import checked

Pictures = list[Any] | tuple[Any, ...]
Messages = Sequence[Mapping[str, Any]]


class Sees(ABC):
    """A handle of a model that may be able to see and to chat."""

    source: str

    @abstractmethod
    def engine_for(self, task: Capability, *, causal: bool | None = None) -> Engine:
        """The engine that does a task."""

    @overload
    def caption(
        self,
        image: Picture,
        *,
        prompt: str | None = None,
        max_new_tokens: int = 64,
        beams: int = 1,
        length_penalty: Number = 1.0,
        temperature: Number | None = None,
        top_k: int | None = None,
        top_p: Number | None = None,
        seed: int | None = None,
    ) -> Generation: ...
    @overload
    def caption(
        self,
        image: Pictures,
        *,
        prompt: str | None = None,
        max_new_tokens: int = 64,
        beams: int = 1,
        length_penalty: Number = 1.0,
        temperature: Number | None = None,
        top_k: int | None = None,
        top_p: Number | None = None,
        seed: int | None = None,
    ) -> list[Generation]: ...
    def caption(
        self,
        image: Picture | Pictures,
        *,
        prompt: str | None = None,
        max_new_tokens: int = 64,
        beams: int = 1,
        length_penalty: Number = 1.0,
        temperature: Number | None = None,
        top_k: int | None = None,
        top_p: Number | None = None,
        seed: int | None = None,
    ) -> Generation | list[Generation]:
        """Say what a picture shows, or each picture of a list.

        Args:
            image: a path, the bytes of a file, or what `read_image` gave.
            prompt: what is said after the picture, or asked about it of a model of chats; by default what the model was
                trained with.
            max_new_tokens: at most so many; fewer where the context ends before.
            beams: texts followed at once; 1 takes the likeliest token each time.
            length_penalty: of beams: above 0 favours long texts.
            temperature: 0 takes the likeliest token; by default 1 if `top_k`, `top_p` or `seed` is given, else 0.
            top_k: draw among the k likeliest.
            top_p: draw among the likeliest that together reach this probability.
            seed: of what is drawn.

        Raises:
            InputError: a picture cannot be opened, or an option is out of range.
            DataError: one is not a picture, is damaged or too large.
            CapabilityError: the model does not see.
        """
        engine = self.engine_for("caption")
        if not isinstance(engine, SeeingEngine):
            raise CapabilityError("the model does not see pictures", where=self.source)
        wish = CaptionWish(
            max_new_tokens=max_new_tokens, beams=beams, length_penalty=length_penalty,
            temperature=temperature, top_k=top_k, top_p=top_p, seed=seed,
        )  # fmt: skip
        if isinstance(image, list | tuple):
            return caption_all(engine, image, prompt, wish)
        return caption_all(engine, [image], prompt, wish)[0]

    def chat(
        self,
        messages: Messages,
        *,
        max_new_tokens: int = 256,
        temperature: Number | None = None,
        top_k: int | None = None,
        top_p: Number | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        allow_urls: bool = False,
    ) -> Generation:
        """Answer the last message of a chat, by the model's own template.

        Args:
            messages: a list, as the OpenAI API has it, of {"role": "user", "content": a text or a list of parts}; a
                part is {"type": "text", "text": ...} or {"type": "image_url", "image_url": {"url": ...}}. A URL is a
                `data:` one or a local path; {"type": "image", "image": ...} takes bytes too.
            max_new_tokens: at most so many; fewer where the context ends before.
            temperature: 0 takes the likeliest token; by default 1 if `top_k`, `top_p` or `seed` is given, else 0.
            top_k: draw among the k likeliest.
            top_p: draw among the likeliest that together reach this probability.
            stop: texts before which the answer ends.
            seed: of what is drawn.
            allow_urls: fetch pictures that http and https URLs name.

        Raises:
            InputError: a message has another form, a picture cannot be opened, or the chat fills the context.
            DataError: a picture is none, is damaged or too large.
            CapabilityError: the model does not generate, has no chat template, or is shown pictures and does not see.
        """
        text, ids, logprobs, reason = "", list[int](), list[float](), "length"
        engine, request = self._asked(messages, max_new_tokens, temperature, top_k, top_p, stop, seed, allow_urls)
        for chunk in stream(engine, request):
            text, reason = text + chunk.text, chunk.finish_reason or reason
            if chunk.token_id is not None and chunk.logprob is not None:
                ids.append(chunk.token_id)
                logprobs.append(chunk.logprob)
        usage = Usage(prompt_tokens=len(request.prompt), completion_tokens=len(ids))
        return Generation(
            text=text,
            token_ids=tuple(ids),
            logprobs=tuple(logprobs),
            finish_reason="stop" if reason == "stop" else "length",
            usage=usage,
        )

    def stream_chat(
        self,
        messages: Messages,
        *,
        max_new_tokens: int = 256,
        temperature: Number | None = None,
        top_k: int | None = None,
        top_p: Number | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        allow_urls: bool = False,
    ) -> Iterator[Chunk]:
        """Like `chat`, one chunk a token. Errors in the arguments are raised here, before the first chunk."""
        engine, request = self._asked(messages, max_new_tokens, temperature, top_k, top_p, stop, seed, allow_urls)
        return stream(engine, request)

    def _asked(
        self,
        messages: Messages,
        max_new_tokens: int,
        temperature: Number | None,
        top_k: int | None,
        top_p: Number | None,
        stop: str | Sequence[str],
        seed: int | None,
        allow_urls: bool,
    ) -> tuple[Engine, Any]:
        engine = self.engine_for("generate")
        if engine.causal is False:
            raise CapabilityError(
                "the model reads one text and writes another: it does not chat",
                where=self.source,
                fix="Load a decoder that was trained to chat",
            )
        check_whole("max_new_tokens", max_new_tokens, "1 or more", lambda x: x >= 1)
        if seed is not None:
            check_whole("seed", seed, "from 0 to 2**63 - 1", lambda x: 0 <= x < 1 << 63)
        return chat_request(
            engine,
            read_chat(messages, allow_urls=allow_urls),
            max_new_tokens=max_new_tokens,
            sampling=sampling_of(temperature, top_k, top_p, None, seed),
            stop=tuple(checked(stop, "stop string")),
            seed=seed,
        )
