"""Chats: templates as stock renders them, messages as the OpenAI API has them, and what of a picture is refused."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, InputError
from sensorium.inference.chat_template import rendered, rendered_ids
from sensorium.tasks.chat import read_chat
from sensorium.tasks.model import LanguageModel, load
from tests.inference.eyes import TEMPLATE, photos, saved
from tests.inference.folders import TOKENIZER, llama
from tests.inference.folders import saved as saved_words

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRICT = (
    "{{ bos_token }}{% for message in messages %}\n  {%- if message['role'] == 'tool' %}"
    "{{ raise_exception('no tools here') }}{% endif %}\n[{{ message.role }}] {{ message['content'] | trim }}"
    "{{ message | tojson }}{% if not loop.last %}{% continue %}{% endif %}{% endfor %}"
)
SAID = [
    {"role": "user", "content": " Hello the band\n"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "Go on"},
]


def with_template(template: str) -> Tokenizer:
    words = TOKENIZER.for_kind("decoder")
    return Tokenizer(words.backend, dict(words.special), template)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chats")


@pytest.fixture(scope="module")
def talker(place: Path) -> tuple[Any, LanguageModel]:
    theirs = saved_words(llama(), place / "words", "decoder", with_template(CHATML.replace("You help.", "a")))
    return theirs, load(place / "words", device="cpu")


@pytest.fixture(scope="module")
def seer(place: Path) -> LanguageModel:
    saved(place / "eyes", template=TEMPLATE)
    return load(place / "eyes", device="cpu")


@pytest.fixture(scope="module")
def photo(place: Path) -> Path:
    return photos(place / "photos", 1)[0]


@pytest.mark.parametrize("template", [CHATML, STRICT])
@pytest.mark.parametrize("messages", [SAID, SAID[:1], [{"role": "system", "content": "Be brief"}, *SAID]])
def test_templates_are_rendered_as_stock_renders_them(template: str, messages: Any, tmp_path: Path) -> None:
    words = with_template(template)
    words.save(tmp_path)
    stock = hf.AutoTokenizer.from_pretrained(tmp_path)
    expected = stock.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert rendered(words, messages) == expected


def test_the_answer_is_what_stock_writes(talker: Any, place: Path) -> None:
    theirs, ours = talker
    stock = hf.AutoTokenizer.from_pretrained(place / "words")
    messages = [{"role": "user", "content": "a"}]
    inputs = stock.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert rendered_ids(ours.engines[0], messages) == inputs["input_ids"][0].tolist()
    length = inputs["input_ids"].shape[1]
    if length < 48:
        expected = theirs.generate(inputs["input_ids"], max_new_tokens=4, do_sample=False)[0, length:].tolist()
        assert list(ours.chat(messages, max_new_tokens=4).token_ids) == expected[: len(expected)]
    else:
        with pytest.raises(InputError, match="Drop its oldest messages"):
            ours.chat(messages)


def test_a_template_of_texts_alone_is_given_parts_as_text(talker: Any) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "the "}, {"type": "text", "text": "band"}]}]
    plain = [{"role": "user", "content": "the band"}]
    assert rendered_ids(talker[1].engines[0], parts) == rendered_ids(talker[1].engines[0], plain)


def test_a_picture_may_come_in_many_forms(seer: LanguageModel, photo: Path) -> None:
    raw = photo.read_bytes()
    data = f"data:image/png;base64,{base64.b64encode(raw).decode()}"
    forms: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "image_url", "image_url": {"url": photo.as_uri()}},
        {"type": "image_url", "image_url": str(photo)},
        {"type": "input_image", "image_url": data},
        {"type": "image", "image": raw},
        {"type": "image", "image": photo},
    ]
    found = {
        seer.chat([{"role": "user", "content": [form, {"type": "text", "text": "?"}]}], max_new_tokens=6).token_ids
        for form in forms
    }
    assert len(found) == 1
    without = seer.chat([{"role": "user", "content": "?"}], max_new_tokens=6)
    assert without.token_ids not in found


def test_several_pictures_of_several_messages_keep_their_places(seer: LanguageModel, place: Path) -> None:
    one, two = photos(place / "two", 2)
    parts = [[{"type": "image", "image": path}, {"type": "text", "text": "?"}] for path in (one, two)]
    said = [
        {"role": "user", "content": parts[0]},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": parts[1]},
    ]
    assert read_chat(said).pictures == [one, two]
    chunks = list(seer.stream_chat(said, max_new_tokens=5))
    whole = seer.chat(said, max_new_tokens=5)
    assert [chunk.token_id for chunk in chunks] == list(whole.token_ids)
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert whole.usage.prompt_tokens > 8


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("hello", "a list of messages"),
        ([], "not empty"),
        (["hello"], "unknown role"),
        ([{"role": "boss", "content": "x"}], "unknown role 'boss'"),
        ([{"role": "user"}], "no content"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "'input_audio' is not read"),
        ([{"role": "user", "content": ["x"]}], "is no part of a message"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}], "not fetched"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "ftp://a/b.png"}]}], "ftp: URLs"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,%%%"}]}], "damaged"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "names no picture"),
        ([{"role": "user", "content": [{"type": "image", "image": "absent.png"}]}], "No such file"),
        ([{"role": "user", "content": "an <image>"}], "stands for a picture"),
        ([{"role": "user", "content": "a \ud800"}], "message 1: the text is not valid Unicode at character 3"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "\udcff"}]}],
            "message 1, part 1: the text is not valid",
        ),
        ([{"role": "user", "content": [{"type": "image", "image": "\ud800.png"}]}], "is no path"),
    ],
)
def test_messages_of_another_form_are_refused(untyped: None, seer: LanguageModel, messages: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        seer.chat(messages)


def test_local_files_may_be_closed_to_strangers(photo: Path) -> None:
    for url in (str(photo), photo.as_uri()):
        with pytest.raises(InputError, match="local files"):
            read_chat([{"role": "user", "content": [{"type": "image_url", "image_url": url}]}], allow_files=False)


@pytest.fixture
def site(photo: Path) -> Iterator[str]:
    """A web server of this machine that has one picture."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/photo.png" else 404)
            self.end_headers()
            self.wfile.write(photo.read_bytes())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_urls_are_fetched_where_they_are_allowed(site: str, photo: Path) -> None:
    def asked(name: str) -> Any:
        part = {"type": "image_url", "image_url": {"url": f"{site}/{name}"}}
        return read_chat([{"role": "user", "content": [part]}], allow_urls=True).pictures

    assert asked("photo.png") == [photo.read_bytes()]
    with pytest.raises(InputError, match="cannot be fetched"):
        asked("absent.png")


def test_who_cannot_chat_or_see_says_so(causal: LanguageModel, masked: LanguageModel, talker: Any, photo: Path) -> None:
    with pytest.raises(CapabilityError, match="no chat template"):
        causal.chat(SAID)
    with pytest.raises(CapabilityError, match="cannot generate"):
        masked.chat(SAID)
    shown = [{"role": "user", "content": [{"type": "image", "image": photo}]}]
    with pytest.raises(CapabilityError, match="does not see pictures"):
        talker[1].chat(shown)


def test_a_template_that_refuses_or_does_not_read_is_told() -> None:
    with pytest.raises(InputError, match="no tools here"):
        rendered(with_template(STRICT), [{"role": "tool", "content": "x"}])
    with pytest.raises(CapabilityError, match="does not read"):
        rendered(with_template("{% for %}"), SAID)


def test_a_template_is_kept_in_its_sandbox() -> None:
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(InputError, match="unsafe"):
        rendered(with_template(escape), SAID)


def test_token_ids_are_checked_for_a_wrong_count(seer: LanguageModel) -> None:
    engine: Any = seer.engines[0]
    seen = torch.zeros(1, engine.features, 32)
    with pytest.raises(InputError, match="3 placeholders"):
        engine.look([[5, *[engine.image_id] * 3, 7]], seen, 20)
