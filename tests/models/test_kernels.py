"""Written-out gradients against torch's own."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn.functional import cross_entropy, linear, scaled_dot_product_attention

from tunesmith.models import kernels


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def gradients(out: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    weights = torch.cos(torch.arange(out.numel(), dtype=torch.float64)).view(out.shape)
    return torch.autograd.grad((out * weights).sum(), inputs)


def test_adapted_linear_of_several_adapters() -> None:
    """Tokens 0 to 3 have an adapter of rank 2, 3 to 4 none, 4 to 9 one of rank 3: the formula, by torch's autograd."""
    x, weight, bias = numbers(9, 5), numbers(7, 5, seed=1).detach(), numbers(7, seed=2).detach()
    a, b, c, d = numbers(2, 5, seed=3), numbers(7, 2, seed=4), numbers(3, 5, seed=5), numbers(7, 3, seed=6)
    expected = linear(x, weight, bias) + torch.cat(
        [2.0 * x[:3] @ a.t() @ b.t(), torch.zeros(1, 7), 0.5 * x[4:] @ c.t() @ d.t()]
    )
    found = kernels.adapted_linear(x, weight, bias, [(0, 3, 2.0, a, b), (4, 9, 0.5, c, d)])
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(gradients(found, x, a, b, c, d), gradients(expected, x, a, b, c, d), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("at_once", [3, 256])
def test_row_attention_is_attention_of_each_row(
    monkeypatch: pytest.MonkeyPatch, window: int | None, at_once: int
) -> None:
    monkeypatch.setattr(kernels, "_QUERIES_AT_ONCE", at_once)
    query, key, value = numbers(4, 18, 6), numbers(2, 18, 6, seed=1), numbers(2, 18, 6, seed=2)
    bounds = [0, 7, 8, 18]
    parts = []
    for start, stop in itertools.pairwise(bounds):
        places = torch.arange(stop - start)
        seen = places[:, None] >= places
        if window:
            seen &= places[:, None] - places < window
        parts.append(
            scaled_dot_product_attention(
                query[None, :, start:stop],
                key[None, :, start:stop],
                value[None, :, start:stop],
                attn_mask=seen,
                scale=0.3,
                enable_gqa=True,
            )[0].transpose(0, 1)
        )
    expected = torch.cat(parts)
    found = kernels.row_attention(query, key, value, bounds, scaling=0.3, window=window)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        gradients(found, query, key, value), gradients(expected, query, key, value), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torch_s_own(masked: bool) -> None:
    query, key, value = numbers(2, 3, 5, 4), numbers(2, 3, 7, 4, seed=1), numbers(2, 3, 7, 4, seed=2)
    seen = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    seen[1, :, :, 4:] = False
    expected = scaled_dot_product_attention(query, key, value, attn_mask=seen if masked else None, scale=0.3)
    found = kernels.attention(query, key, value, seen if masked else None, scaling=0.3)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        gradients(found, query, key, value), gradients(expected, query, key, value), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_attention_with_dropout_follows_the_formula_with_the_mask_it_drew() -> None:
    """The mask is read off the answer to the unit matrix; the formula with it is torch's autograd's business."""
    query, key, value = numbers(2, 3, 6, 4), numbers(2, 3, 6, 4, seed=1), numbers(2, 3, 6, 6, seed=2)
    unit = torch.eye(6, dtype=torch.float64).expand(2, 3, 6, 6)
    torch.manual_seed(3)
    kept = kernels.attention(query, key, unit, None, scaling=0.5, dropout=0.25) > 0
    assert 0 < kept.sum() < kept.numel()
    expected = (torch.softmax(0.5 * query @ key.transpose(2, 3), -1) * kept / 0.75) @ value
    torch.manual_seed(3)
    found = kernels.attention(query, key, value, None, scaling=0.5, dropout=0.25)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        gradients(found, query, key, value), gradients(expected, query, key, value), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_that_share_and_scales_the_rest(dtype: torch.dtype, p: float) -> None:
    """Of 200,003 ones (no multiple of the four drawn at once) p are 0, within five standard deviations."""
    n = 200_003
    ones = torch.ones(n, dtype=dtype, requires_grad=True)
    torch.manual_seed(0)
    out = kernels.drop(ones, p)
    assert out.dtype == dtype
    rest = torch.tensor(1 / (1 - p), dtype=dtype)
    assert set(out.tolist()) == {0.0, rest.item()}
    assert abs((out == 0).sum().item() - n * p) < 5 * (n * p * (1 - p)) ** 0.5
    assert torch.equal(torch.autograd.grad(out.sum(), ones)[0], out.detach())
    dropped = (out == 0).double()
    neighbours = (
        (dropped[1:] * dropped[:-1]).mean().item()
    )  # drawn from one 64-bit number, and yet independent
    assert abs(neighbours - p * p) < 5 * (p * p / n) ** 0.5
    torch.manual_seed(0)
    assert torch.equal(kernels.drop(ones, p), out)


@pytest.mark.parametrize("trained_head", [False, True])
@pytest.mark.parametrize("at_once", [11 * 4, 1 << 24])
def test_losses_in_chunks_are_the_losses(trained_head: bool, at_once: int) -> None:
    """23 positions of 11 words, four at a time: torch's losses and gradients; each loss has a weight of its own."""
    hidden, weight = numbers(23, 6), numbers(11, 6, seed=1).detach().requires_grad_(trained_head)
    targets = torch.arange(23) * 5 % 11
    expected = cross_entropy(linear(hidden, weight).float(), targets, reduction="none")
    found = kernels.head_losses(hidden, weight, targets, logits_at_once=at_once)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    inputs = (hidden, weight) if trained_head else (hidden,)
    for ours, theirs in zip(gradients(found, *inputs), gradients(expected, *inputs), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_chunks_need_less_memory() -> None:
    """The largest block, by torch's profiler: 4,000 x 500 logits at once, or 100 positions of them."""
    from torch.profiler import ProfilerActivity, profile

    hidden = torch.randn(4000, 8, requires_grad=True)
    weight, targets = torch.randn(500, 8), torch.zeros(4000, dtype=torch.long)

    def largest(at_once: int) -> int:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            kernels.head_losses(hidden, weight, targets, logits_at_once=at_once).sum().backward()
        return max(event.self_cpu_memory_usage for event in profiler.events())

    assert largest(1 << 24) >= 4000 * 500 * 4
    assert largest(100 * 500) < 4000 * 500 * 4 / 10
