"""A device that is none: its tensors lie on the CPU, and what would make the CPU wait for it is written down.

torch has a place for a device of one's own, but one in a process and for good; so this is a program, and what it has
seen comes out as JSON: `python tests/far_device.py`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "far"
SYNCHRONOUS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
aten = torch.ops.aten


class FarModule(_DummyBackendModule):
    """What stands in `torch.far`."""

    def get_amp_supported_dtype(self):
        """Return the types of autocast, which nobody asks for here."""
        return [torch.bfloat16]


class FarTensor(torch.Tensor):
    """A tensor that says it is far away; its numbers are in `near`."""

    @staticmethod
    def __new__(cls, near):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            near.size(),
            strides=near.stride(),
            storage_offset=near.storage_offset(),
            dtype=near.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, near):
        self.near = near

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of Far")


def lstm_cell(input_gates, hidden_gates, memory, input_bias=None, hidden_bias=None):
    """Do what the kernel does that torch has for the step of an LSTM on a GPU."""
    gates = input_gates + hidden_gates
    if input_bias is not None:
        gates = gates + input_bias + hidden_bias
    i, f, g, o = gates.chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    after = f * memory + i * g
    return o * after.tanh(), after, torch.cat([i, f, g, o], 1)


def lstm_cell_backward(grad_h, grad_c, memory, after, workspace, has_bias):
    i, f, g, o = workspace.chunk(4, 1)
    squashed = after.tanh()
    grad_h = torch.zeros_like(memory) if grad_h is None else grad_h
    grad = grad_h * o * (1 - squashed**2) + (0 if grad_c is None else grad_c)
    gates = torch.cat(
        [
            grad * g * i * (1 - i),
            grad * memory * f * (1 - f),
            grad * i * (1 - g**2),
            grad_h * squashed * o * (1 - o),
        ],
        1,
    )
    return gates, grad * f, gates.sum(0) if has_bias else None


def gru_cell(input_gates, hidden_gates, state, input_bias=None, hidden_bias=None):
    """Do what the kernel does that torch has for the step of a GRU on a GPU."""
    given, own = input_gates + input_bias, hidden_gates + hidden_bias
    size = state.shape[1]
    reset, keep = (given[:, : 2 * size] + own[:, : 2 * size]).sigmoid().chunk(2, 1)
    new = torch.tanh(given[:, 2 * size :] + reset * own[:, 2 * size :])
    return new + keep * (state - new), torch.cat([reset, keep, new, state, own[:, 2 * size :]], 1)


def gru_cell_backward(grad, workspace, has_bias):
    reset, keep, new, state, own = workspace.chunk(5, 1)
    to_new = grad * (1 - keep) * (1 - new**2)
    to_reset = to_new * own * reset * (1 - reset)
    to_keep = grad * (state - new) * keep * (1 - keep)
    given, hidden = torch.cat([to_reset, to_keep, to_new], 1), torch.cat([to_reset, to_keep, to_new * reset], 1)
    return given, hidden, grad * keep, given.sum(0), hidden.sum(0)


KERNELS = {
    aten._thnn_fused_gru_cell.default: gru_cell,
    aten._thnn_fused_gru_cell_backward.default: gru_cell_backward,
    aten._thnn_fused_lstm_cell.default: lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: lstm_cell_backward,
}


def is_far(tensor):
    return isinstance(tensor, FarTensor)


class Far(TorchDispatchMode):
    """Inside it the device is there; `waits` are the operations that the CPU waits for it in, as texts."""

    def __init__(self):
        super().__init__()
        self.waits = []
        self.sent = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        far = any(map(is_far, inputs))
        if func in (aten.is_pinned.default, aten._pin_memory.default):
            return self._pin(func, *args)
        if far and self._waits(func, args, kwargs):
            self.waits.append(str(func))
        if kwargs.get("device") is not None:
            goes = torch.device(kwargs["device"]).type == NAME
            if func is aten._to_copy.default and goes != far:
                self._copied(func, args[0], kwargs.get("non_blocking", False))
            far, kwargs["device"] = goes, torch.device("cpu")
        elif func is aten.copy_.default and is_far(args[0]) != is_far(args[1]):
            self._copied(func, args[1], args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        near = tree_map(lambda leaf: leaf.near if is_far(leaf) else leaf, (args, kwargs))
        result = KERNELS.get(func, func)(*near[0], **near[1])
        if torch.Tag.inplace_view in func.tags and is_far(args[0]):
            # what the tensor says of its own shape is turned too
            with no_dispatch():
                func(*args, **kwargs)
            return args[0]
        if not far:
            return result
        return tree_map(lambda leaf: FarTensor(leaf) if isinstance(leaf, torch.Tensor) else leaf, result)

    def _pin(self, func, tensor, *_):
        if func is aten.is_pinned.default:
            return getattr(tensor, "pinned", False)
        pinned = tensor.clone()
        pinned.pinned = True
        return pinned

    def _waits(self, func, args, kwargs):
        if func in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
            return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        # where the size is given nothing has to be counted
        given = func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is not None
        return bool(SYNCHRONOUS & set(func.tags)) and not given

    def _copied(self, func, source, non_blocking):
        self.sent += 1
        if is_far(source) or not (non_blocking and getattr(source, "pinned", False)):
            self.waits.append(f"{func} {'from' if is_far(source) else 'to'} the device")


def hazards():
    """Return by name what must be seen, and what must not, each with what was."""
    device = torch.device(NAME)
    near = torch.arange(6.0)

    def written(act):
        with Far() as far:
            tensor = near.pin_memory().to(device, non_blocking=True)
            act(tensor)
        return far.waits

    waiting = {
        "item": lambda tensor: tensor.sum().item(),
        "bool": lambda tensor: bool(tensor.sum() > 3),
        "nonzero": lambda tensor: tensor.nonzero(),
        "mask": lambda tensor: tensor[tensor > 3],
        "mask set": lambda tensor: tensor.__setitem__(tensor > 3, tensor[0]),
        "masked_select": lambda tensor: tensor.masked_select(tensor > 3),
        "equal": lambda tensor: torch.equal(tensor, tensor),
        "unique": lambda tensor: tensor.unique(),
        "repeat": lambda tensor: tensor.repeat_interleave(tensor.long()),
        "cpu": lambda tensor: tensor.cpu(),
        "cpu later": lambda tensor: tensor.to("cpu", non_blocking=True),
        "not pinned": lambda tensor: near.to(device, non_blocking=True),
        "blocking": lambda tensor: near.pin_memory().to(device),
        "copy back": lambda tensor: near.clone().copy_(tensor),
        "copy there": lambda tensor: tensor.copy_(near),
    }
    fine = {
        "sums": lambda tensor: (2 * tensor + 1).sum(),
        "where": lambda tensor: torch.where(tensor > 3, tensor, 0.0),
        "rows": lambda tensor: tensor[tensor.long()],
        "static": lambda tensor: torch.nonzero_static(tensor > 3, size=2),
        "repeat": lambda tensor: tensor.repeat_interleave(tensor.long(), output_size=15),
        "new": lambda tensor: torch.zeros(3, device=device) + torch.arange(3, device=device),
    }
    return {name: written(act) for name, act in waiting.items()}, {name: written(act) for name, act in fine.items()}


MODEL = {"embedding_size": 12, "hidden_size": 16, "dropout": 0.0}
CASES = {
    "attention": ("attention", {"depth": 2}, {}),
    "attention, one direction": ("attention", {"bidirectional": False, "reverse_source": True}, {"optimizer": "adamw"}),
    "sampled softmax": ("attention", {"tie_output": False}, {"optimizer": "sgd", "sampled_softmax": 10}),
    "input feeding": ("attention", {"input_feeding": True, "score": "additive"}, {"label_smoothing": 0.1}),
    "peek": ("peek", {}, {"optimizer": "adagrad", "average": "exchanges"}),
    "simple": ("simple", {"cell": "lstm"}, {"word_dropout": 0.2, "logits_mb": 1}),
    "a mind": ("stateful-broadcast", {"depth": 2, "cell": "gru"}, {"ema": 0.9}),
    "scheduled sampling": ("stateful-broadcast", {"carry": False}, {"scheduled_sampling": 1.0}),
    "adadelta": ("attention", {}, {"optimizer": "adadelta"}),
    "adaptive": ("attention", {"tie_output": False, "adaptive_output": 30}, {}),
}


def dialogues():
    """Return 12 dialogues of 3 exchanges, as `Packed`."""
    from s2sbot.text.packed import Packed

    random = np.random.default_rng(7)
    rows = [tuple(random.integers(16, 60, length).tolist() for length in random.integers(1, 7, 2)) for _ in range(36)]
    return Packed.pack(rows, [row - 1 if row % 3 else -1 for row in range(36)])


def trained(case, device):
    """Yield a model, None when it has had a few updates of one kind, and its loss after and in them."""
    from s2sbot.nn.dataset import Update, dialogue_slots, epoch_dialogues, sequential_batches
    from s2sbot.nn.sampled_softmax import Proposal
    from s2sbot.nn.scoring import Minds, evaluate
    from s2sbot.plugins import Plugins
    from s2sbot.settings import TrainSettings
    from s2sbot.trainer.update import Updater

    name, knobs, options = CASES[case]
    kind = Plugins().model(name)
    torch.manual_seed(3)
    near = kind(kind.Config(**{**MODEL, **knobs}), 60, 60)
    model = near.to(device)
    train = TrainSettings(**{"precision": "float32", "learning_rate": 0.02, **options})
    updater, packed = Updater(model, train, device=device), dialogues()
    if train.sampled_softmax:
        updater.proposal = Proposal.of_counts(np.bincount(packed.target_ids, minlength=60), train.sampled_softmax)
    if model.stateful:
        updates, slots = epoch_dialogues(packed, 120, turns=2, seed=1, epoch=0), dialogue_slots(packed, 120, 2)
    else:
        updates, slots = [Update.of_batch(rows) for rows in sequential_batches(packed, 120)], 0
    minds = Minds(slots)
    yield model
    for step, update in enumerate(updates[:3]):
        updater.update(packed, update, minds, step=step, rate=0.02)
    yield None
    yield evaluate(model, packed, batch_tokens=120).nats
    yield updater.counts["nats"].item()


def compared(case):
    """Return what was waited for in some updates, and how far they end from those on the CPU."""
    there = trained(case, torch.device("cpu"))
    wanted_model, _, *wanted = there
    with Far() as far:
        here = trained(case, torch.device(NAME))
        model = next(here)
        far.waits, far.sent = [], 0
        next(here)
        waits, far.waits, sent = far.waits, [], far.sent
        found = [next(here)]
        validation = list(far.waits)
        found.append(next(here))
        weights = [parameter.cpu() for parameter in model.parameters()]
    apart = max(
        float((own - other).detach().abs().max()) for own, other in zip(weights, wanted_model.parameters(), strict=True)
    )
    return {
        "waits": waits,
        "validation": validation,
        "sent": sent,
        "found": found,
        "wanted": wanted,
        "apart": apart,
    }


def main():
    sys.path.insert(0, str(Path(__file__).parents[1]))
    torch.set_num_threads(1)
    _setup_privateuseone_for_python_backend(NAME, FarModule())
    waiting, fine = hazards()
    json.dump({"waiting": waiting, "fine": fine, "cases": {case: compared(case) for case in CASES}}, sys.stdout)


if __name__ == "__main__":
    main()
