"""What a GPU's kernel serves, and that one graph holds attention to documents of any lengths. The numbers are tested
on a GPU (`tests/cuda`)."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sensorium.core.fused_kernels import offsets, serves
from sensorium.core.mask import MaskSpec, Offsets

AT = Offsets(torch.tensor([0, 3, 7], dtype=torch.int32), torch.tensor([0, 3, 7], dtype=torch.int32), 64, 64)
HALF, WHOLE = torch.zeros(1, 2, 7, 64, dtype=torch.bfloat16), torch.zeros(1, 2, 7, 64)


def test_a_cpu_has_no_such_kernel() -> None:
    assert offsets((3, 4), None, torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("q", "spec", "bias", "served"),
    [
        (HALF, MaskSpec(causal=True, lengths=(3, 4), offsets=AT), None, True),
        (WHOLE, MaskSpec(causal=True, lengths=(3, 4), offsets=AT), None, False),
        (HALF, MaskSpec(causal=True, window=2, lengths=(3, 4), offsets=AT), None, True),
        (HALF, MaskSpec(causal=True, lengths=(3, 4)), None, False),
        (HALF, MaskSpec(causal=True, lengths=(3, 4), offsets=AT), torch.zeros(1, 2, 4, 4), False),
        (HALF[..., :12], MaskSpec(causal=True, lengths=(3, 4), offsets=AT), None, False),
    ],
)
def test_what_it_serves(q: torch.Tensor, spec: MaskSpec, bias: torch.Tensor | None, served: bool) -> None:
    assert serves(q, spec, bias) is served


ONE_GRAPH = """
import torch
from torch._dynamo.utils import counters
from sensorium.core.attend import for_graphs
from sensorium.core.mask import MaskSpec, Offsets

attend = for_graphs(torch.device("meta"))

class Read(torch.nn.Module):
    def forward(self, q, k, v, masks):
        return attend(q, k, v, spec=masks[None], dropout_p=0.1)[0].transpose(1, 2) * 2

read = Read()
read.compile(backend="aot_eager", dynamic=True)
for total, documents, longest in ((100, 4, 64), (333, 7, 128), (256, 2, 192)):
    half = {"device": "meta", "dtype": torch.bfloat16, "requires_grad": True}
    q, k, v = (torch.empty(1, heads, total, 64, **half) for heads in (6, 2, 2))
    starts = torch.empty(documents + 1, dtype=torch.int32, device="meta")
    lengths = (total // documents,) * documents
    spec = MaskSpec(causal=True, lengths=lengths, offsets=Offsets(starts, starts, longest, longest))
    found = read(q, k, v, {None: spec})
    assert found.shape == (1, total, 6, 64), found.shape
    assert [x.shape for x in torch.autograd.grad(found.sum(), (q, k, v))] == [q.shape, k.shape, v.shape]
assert counters["stats"]["unique_graphs"] == 1, counters
assert not counters["graph_break"], counters
"""


def test_one_graph_serves_documents_of_any_number_and_lengths() -> None:
    # In a process of its own: torch.compile cannot trace the type checks that tests run with.
    done = subprocess.run([sys.executable, "-c", ONE_GRAPH], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
