"""Messages to the text of a prompt, by the model's own chat template (Jinja, as Hugging Face's tokenizers have it).

Unusual: templates differ in what they take a message's content for, a text or a list of parts, and do not say so; a
template is asked, by a message of one text and one picture. A template comes with a model that anybody may have made:
it runs in Jinja's sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, InputError
from sensorium.inference.engine import Engine
from sensorium.inference.eyes import SeeingEngine

Message = dict[str, Any]
"""`role`, and `content`: a text, or parts {"type": "text", "text": ...} and {"type": "image"}."""
_PROBE = "c7f1e0"


def has_template(tokenizer: Tokenizer) -> bool:
    """Whether the model says how a chat is written."""
    return tokenizer.chat_template is not None


def ask_about(question: str) -> Message:
    """A message of a picture and a question about it."""
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}


def rendered_ids(engine: Engine | SeeingEngine, messages: Sequence[Message]) -> list[int]:
    """Token ids of a chat, ready for the model's answer; of a picture, as many placeholders as it takes.

    Raises:
        CapabilityError: the model has no chat template, or one that does not read.
        InputError: the template refuses the messages.
    """
    tokenizer = engine.tokenizer
    image, features = None, 0
    if isinstance(engine, SeeingEngine):
        image, features = tokenizer.token(engine.image_id), engine.features
    return chat_ids(tokenizer, messages, image=image, features=features, where=engine.source)


def chat_ids(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    image: str | None = None,
    features: int = 0,
    where: str | None = None,
) -> list[int]:
    """Like `rendered_ids`, of a tokenizer alone: `image` stands for a picture, `features` times in the ids."""
    text = rendered(tokenizer, messages, image=image, where=where)
    bos = tokenizer.special.get("bos")
    # Stock tokenizers add nothing to a chat; processors add what the tokenizer does, unless the template did.
    special = image is not None and not (bos is not None and text.startswith(bos))
    if image is not None:
        text = text.replace(image, image * features)
    return tokenizer.encode(text, special=special)


def rendered(
    tokenizer: Tokenizer, messages: Sequence[Message], *, image: str | None = None, where: str | None = None
) -> str:
    """A chat as one text that ends where the answer begins.

    Args:
        tokenizer: has the template.
        messages: in their order.
        image: what stands for a picture.
        where: the model, for messages.

    Raises:
        CapabilityError: there is no template, or it does not read.
        InputError: it refuses the messages.
    """
    if tokenizer.chat_template is None:
        raise CapabilityError(
            "the model has no chat template: it was not trained to chat",
            where=where,
            fix="Continue texts with it (generate), or load a model that was",
        )
    parts = _takes_parts(tokenizer, image)
    return _render(tokenizer, [_shaped(message, parts=parts, image=image) for message in messages], where)


def _takes_parts(tokenizer: Tokenizer, image: str | None) -> bool:
    """Whether the template reads a list of parts: it then gives the text of one and the placeholder of the other."""
    parts = [{"type": "text", "text": _PROBE}, {"type": "image"}] if image else [{"type": "text", "text": _PROBE}]
    try:
        text = _render(tokenizer, [{"role": "user", "content": parts}], None)
    except (InputError, CapabilityError):
        return False
    return text.count(_PROBE) == 1 and "'type'" not in text and '"type"' not in text and (not image or image in text)


def _shaped(message: Message, *, parts: bool, image: str | None) -> Message:
    content = message["content"]
    listed = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if parts:
        return {**message, "content": listed}
    return {
        **message,
        "content": "".join(part["text"] if part["type"] == "text" else f"{image}\n" for part in listed),
    }


def _render(tokenizer: Tokenizer, messages: Sequence[Message], where: str | None) -> str:
    import jinja2

    names = {f"{role}_token": token for role, token in tokenizer.special.items()}
    try:
        template = _compiled(tokenizer.chat_template or "")
        return template.render(messages=messages, add_generation_prompt=True, tools=None, documents=None, **names)  # type: ignore[no-any-return]
    except jinja2.TemplateSyntaxError as error:
        raise CapabilityError(
            f"the chat template does not read: {error}", where=where, fix="Mend chat_template.jinja"
        ) from error
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"the chat template refuses these messages: {error}", where=where) from error


@lru_cache(maxsize=16)
def _compiled(source: str) -> Any:
    from jinja2 import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, which marks what a model says, and changes nothing of the text."""

        tags = {"generation"}  # noqa: RUF012 - so does Jinja declare it

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(problem: str) -> None:
        raise TemplateError(problem)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    # Blocks stand on lines of their own, which are not part of the text; as in stock `transformers`.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(source)
