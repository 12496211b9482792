"""Products by oneDNN are those of torch, for every layout, and the layers built on them have the same gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from s2sbot.nn import products
from s2sbot.nn.deferred import deferred_batch
from s2sbot.nn.products import FastLinear, linear, product, repeated_product, weight_gradient

ROWS, IN, OUT = 300, 320, 200
"""A product so large that it goes to oneDNN."""

LAYOUTS: dict[str, Callable[[int, int], Tensor]] = {
    "rows": torch.randn,
    "columns": lambda rows, columns: torch.randn(columns, rows).t(),
    "part of wider rows": lambda rows, columns: torch.randn(rows, columns + 64)[:, 64:],
    "part of taller columns": lambda rows, columns: torch.randn(columns, rows + 64)[:, :rows].t(),
    "every other row": lambda rows, columns: torch.randn(2 * rows, columns)[::2],
    "one row, again and again": lambda rows, columns: torch.randn(1, columns).expand(rows, columns),
}


@pytest.fixture(params=[True, False], ids=["oneDNN", "without it"])
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Say whether oneDNN is to be found."""
    if not request.param:
        monkeypatch.setattr(products, "_onednn", lambda: None)
    elif products._onednn() is None:
        pytest.skip("this torch offers no products by oneDNN")
    return bool(request.param)


def exact(inputs: Tensor, weight: Tensor) -> Tensor:
    return inputs.double() @ weight.double().t()


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted.to(found.dtype), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_layouts(found: bool, left: str, right: str) -> None:
    inputs, weight, bias = LAYOUTS[left](ROWS, IN), LAYOUTS[right](OUT, IN), torch.randn(OUT)
    close(product(inputs, weight), exact(inputs, weight))
    close(product(inputs, weight, bias), exact(inputs, weight) + bias)
    close(repeated_product(weight, ROWS)(inputs), exact(inputs, weight))
    grads = LAYOUTS[left](ROWS, OUT)
    close(weight_gradient(inputs, grads), exact(grads.t(), inputs.t()))
    close(weight_gradient(grads, inputs), exact(inputs.t(), grads.t()))


@pytest.mark.parametrize("rows", [0, 1, 7, 64, 65, 2 * ROWS])
def test_any_number_of_rows(found: bool, rows: int) -> None:
    weight, inputs = torch.randn(600, IN), torch.randn(rows, IN)
    close(product(inputs, weight), exact(inputs, weight))
    close(repeated_product(weight, ROWS)(inputs), exact(inputs, weight))


def test_which_are_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def onednn() -> None:
        asked.append(1)

    monkeypatch.setattr(products, "_onednn", onednn)
    small = [(1, 512, 8000), (63, 512, 8000), (1000, 512, 63), (64, 64, 64)]
    for rows, inside, outside in small:
        product(torch.zeros(rows, inside), torch.zeros(outside, inside))
    product(torch.zeros(ROWS, IN, dtype=torch.float64), torch.zeros(OUT, IN, dtype=torch.float64))
    product(torch.zeros(ROWS, IN, dtype=torch.bfloat16), torch.zeros(OUT, IN, dtype=torch.bfloat16))
    assert not asked
    product(torch.zeros(ROWS, IN), torch.zeros(OUT, IN))
    assert asked


def test_another_torch_has_them_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that is gone, or has come to take other arguments, is not called."""

    def refuses(*arguments: object) -> Tensor:
        raise RuntimeError("expected at most 5 arguments")

    class Other:
        _linear_pointwise = staticmethod(refuses)
        _reorder_linear_weight = staticmethod(lambda weight, rows: weight)

    products._onednn.cache_clear()
    for offered in (Other, object):
        monkeypatch.setattr(torch.ops, "mkldnn", offered, raising=False)
        assert products._onednn() is None
        products._onednn.cache_clear()


@pytest.mark.parametrize("bias", [True, False])
def test_layer(found: bool, bias: bool) -> None:
    fast = FastLinear(IN, OUT, bias=bias)
    plain = nn.Linear(IN, OUT, bias=bias)
    plain.load_state_dict(fast.state_dict())
    inputs = torch.randn(20, 15, IN)
    own, other = (inputs.clone().requires_grad_() for _ in range(2))
    wanted = torch.randn(20, 15, OUT)
    results = [(layer(part) * wanted).sum() for layer, part in ((fast, own), (plain, other))]
    close(results[0], results[1])
    for result in results:
        result.backward()
    close(own.grad, other.grad)
    for mine, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        close(mine.grad, theirs.grad)
    with torch.no_grad():
        close(fast(inputs), plain(inputs))


def test_only_the_gradients_that_are_asked_for(found: bool) -> None:
    inputs, weight = torch.randn(ROWS, IN), torch.randn(OUT, IN, requires_grad=True)
    linear(inputs, weight).sum().backward()
    assert inputs.grad is None
    close(weight.grad, inputs.sum(0).expand(OUT, IN))


def test_a_layer_can_be_copied_and_hooked() -> None:
    layer = copy.deepcopy(FastLinear(IN, OUT))
    seen = []
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    layer(torch.randn(ROWS, IN))
    assert len(seen) == 1


def test_a_matrix_for_each_row() -> None:
    weights = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    steps = [torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(6)]

    def plain(weight: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda rows: torch.einsum("ri,rio->ro", rows, weight)

    found, wanted = (
        torch.autograd.grad(sum(layer(rows).pow(2).sum() for rows in steps), [weights, *steps])
        for layer in (deferred_batch(weights), plain(weights))
    )
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)
