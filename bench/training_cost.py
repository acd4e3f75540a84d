"""What a training step costs in arithmetic, by a formula, and what arithmetic this machine does in a second."""

from __future__ import annotations

import time

import torch

from jepascope import params
from jepascope.models.jepa import Batch

# A gradient for the weights and one for the input: each as dear as the forward.
FORWARD_AND_BACKWARD = 3


def flops(batch: Batch, shape: params.Model) -> float:
    """Floating-point operations of a training step that the model needs, padding and elementwise work not counted.

    A multiplication and an addition are two. Per position a Linear of a × b takes 2ab, so a block of width D takes
    16 D² (query, key, value, output: 8 D²; MLP: 8 D²), and attention to L positions takes 4 L D. In the last block of
    the encoder only [CLS] asks: 4 D² per position for key and value, 12 D² + 4 L D for the encounter.
    The backward takes twice the forward; looking embeddings up takes nothing.
    """
    D, lengths, per_patient = shape.width, batch.offsets.diff().double() + 1, batch.first.diff().double()
    inner = (lengths * (16 * D**2 + 4 * lengths * D)).sum()
    last = (lengths * (4 * D**2 + 4 * D) + 12 * D**2).sum()
    encoder = (shape.encoder_layers - 1) * inner + last + len(lengths) * 2 * D**2
    context = shape.context_layers * (per_patient * (16 * D**2 + 4 * per_patient * D)).sum()
    context += per_patient.sum() * 2 * (D + 2) * D
    predictor = (per_patient - 1).sum() * 2 * shape.predictor_hidden * (2 * D + 1)
    return FORWARD_AND_BACKWARD * float(encoder + context + predictor)


def gemm_rate(rows: int, inner: int, columns: int, device: str, seconds: float = 0.3) -> float:
    """Measure the best rate of a matrix product [rows, inner] · [inner, columns] here, in GFLOP/s.

    The best of many, because it is to be a ceiling. In float32 on a CPU, in bfloat16 on a GPU, as in training.
    """
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    a, b = (torch.randn(shape, device=device, dtype=dtype) for shape in ((rows, inner), (inner, columns)))
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    repeat = max(1, 10**8 // (rows * inner * columns))
    fastest, ends = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        for _ in range(repeat):
            torch.mm(a, b, out=out)
        if device == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, (time.perf_counter() - began) / repeat)
    return 2 * rows * inner * columns / fastest / 1e9
