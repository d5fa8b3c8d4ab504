"""On a GPU the core gives a CPU's numbers, and training, resuming and inference run. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sensorium as sm
from sensorium.core.attend import attend
from sensorium.core.fused_kernels import offsets
from sensorium.core.mask import MaskSpec
from sensorium.core.model import build, initialise
from sensorium.errors import CapabilityError
from tests.core import models
from tests.core.test_attend import CASES, tensors

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

CUDA = torch.device("cuda")
TEXT = "The cat sat on the mat. The dog saw the cat and ran. A bird sang in the old tree.\n" * 40


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "texts").mkdir()
    for number in range(12):
        (folder / "texts" / f"{number}.txt").write_text(f"Text {number}. {TEXT}", encoding="utf-8")
    sm.prepare(folder / "texts", out=folder / "corpus", tokenizer="wordpiece:89", validation=0.2, show_progress=False)
    return folder / "corpus"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_equals_a_cpus(case: str, dtype: torch.dtype) -> None:
    shape, spec = CASES[case]
    q, k, v = tensors(**{**shape, "head_dim": 16})
    expected, _ = attend(q, k, v, spec=spec, backend="eager")
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
    moved = [x.detach().to("cuda", dtype).requires_grad_() for x in (q, k, v)]
    valid = None if spec.key_valid is None else spec.key_valid.cuda()
    there = MaskSpec(
        causal=spec.causal, window=spec.window, key_valid=valid, lengths=spec.lengths, key_lengths=spec.key_lengths,
        q_offset=spec.q_offset, offsets=None if spec.lengths is None else offsets(spec.lengths, spec.key_lengths, CUDA),
    )  # fmt: skip
    found, _ = attend(*moved, spec=there)
    bar = {"atol": 2e-5, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 5e-2, "rtol": 5e-2}
    torch.testing.assert_close(found.float().cpu(), expected, **bar)
    got = torch.autograd.grad((found * weight.to("cuda", dtype)).sum(), moved)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a.float().cpu(), b, **bar)


@pytest.mark.parametrize("backend", ["auto", "sdpa"])
@pytest.mark.parametrize("lengths", [(5, 9, 2), (16,)])
def test_a_decoder_equals_a_cpus(backend: str, lengths: tuple[int, ...]) -> None:
    model = build(models.llama())
    initialise(model, generator=torch.Generator().manual_seed(0))
    ids = torch.randint(models.VOCAB, (1, sum(lengths)), generator=torch.Generator().manual_seed(1))
    expected = model(ids, lengths=lengths)
    found = model.cuda()(ids.cuda(), lengths=lengths, backend=backend)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lengths", [(5, 9, 2), (16,)])
def test_flex_attention_equals_a_cpus(lengths: tuple[int, ...]) -> None:
    tall = {"batch": 1, "queries": 16, "keys": 16, "head_dim": 16}
    q, k, v = (x.detach() for x in tensors(**tall))
    spec = MaskSpec(causal=True, lengths=lengths)
    expected, _ = attend(q, k, v, spec=spec, backend="eager")
    found, _ = attend(q.cuda(), k.cuda(), v.cuda(), spec=spec, backend="flex")
    torch.testing.assert_close(found.cpu(), expected, atol=2e-3, rtol=2e-3)  # it multiplies in TF32
    with pytest.raises(CapabilityError, match="head"):
        attend(*(x[..., :8].cuda() for x in (q, k, v)), spec=spec, backend="flex")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_dropout_within_packed_documents_keeps_the_expectation(dtype: torch.dtype, causal: bool) -> None:
    q, k, v = (x.detach().to("cuda", dtype) for x in tensors(batch=1, queries=7, keys=7))
    spec = MaskSpec(causal=causal, lengths=(3, 4), offsets=offsets((3, 4), None, CUDA))
    exact, _ = attend(q, k, v, spec=spec)
    drawn = torch.stack([attend(q, k, v, spec=spec, dropout_p=0.3)[0] for _ in range(2000)])
    assert drawn[0].dtype == dtype
    assert not torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(drawn.float().mean(0), exact.float(), atol=0.12, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("recipe", ["bert-tiny", "llama-tiny"])
def test_training_resumes_and_the_model_is_used(corpus: Path, tmp_path: Path, recipe: str, precision: str) -> None:
    short = [f"run.precision={precision}", "batch.tokens=512", "run.save_every=10", "run.eval_every=1000"]
    options = {"recipe": recipe, "device": "cuda", "show_progress": False}
    if recipe == "llama-tiny":
        short.append("objective.kind=causal")
    sm.train(corpus, out=tmp_path / "run", overrides=[*short, "run.steps=20"], **options)
    run = sm.train(corpus, out=tmp_path / "run", overrides=[*short, "run.steps=40"], resume=True, **options)
    assert run.metrics["loss"] < 5.5
    lm = sm.load(tmp_path / "run", device="cuda")
    here = sm.load(tmp_path / "run", device="cpu")
    if recipe == "bert-tiny":
        text = "The cat [MASK] on the mat."
        assert lm.fill_mask(text)[0].token == here.fill_mask(text)[0].token
    else:
        assert lm.generate("The cat", max_new_tokens=8).text == here.generate("The cat", max_new_tokens=8).text
        assert abs(lm.score("The cat sat").perplexity / here.score("The cat sat").perplexity - 1) < 1e-3


def test_the_bundled_translator_gives_a_cpus_translations() -> None:
    texts = ["Open the file.", "Save the document before you close the window."]
    there, here = (sm.load("default:translate", device=device) for device in ("cuda", "cpu"))
    for text in texts:
        assert (
            there.translate(text, source="en", target="zh").text == here.translate(text, source="en", target="zh").text
        )
