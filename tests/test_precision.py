"""The number format of a training's products: what there is, what is refused, and that it learns the same."""

import pytest
import torch
from small import tables, write_pairs

import s2sbot
from s2sbot import DeviceError
from s2sbot.nn import device as devices
from s2sbot.nn.device import choose_precision

CPU = torch.device("cpu")


def has_bf16():
    try:
        return choose_precision("bf16", CPU) == torch.bfloat16
    except DeviceError:
        return False


def test_by_itself_a_cpu_computes_in_float32():
    assert choose_precision("auto", CPU) == torch.float32
    assert choose_precision("float64", CPU) == torch.float64


def test_where_recurrent_layers_have_no_bf16_it_is_refused_before_anything_is_left(tmp_path, monkeypatch):
    class Without(torch.nn.LSTM):
        def forward(self, *args):
            raise RuntimeError("could not create a primitive descriptor for an LSTM forward propagation primitive")

    monkeypatch.setattr(devices.torch.nn, "LSTM", Without)
    run = s2sbot.training(
        write_pairs(tmp_path / "pairs.tsv"), bot=tmp_path / "a.bot", settings=tables(precision="bf16")
    )
    with pytest.raises(DeviceError, match="bf16") as caught, run:
        list(run)
    assert "float32" in caught.value.hint
    assert not (tmp_path / "a.bot").exists()


@pytest.mark.skipif(not has_bf16(), reason="this CPU has no recurrent layers in bf16")
class TestBf16:
    def weights(self, tmp_path, precision, model, **train):
        bot = tmp_path / f"{model}-{precision}.bot"
        pairs = write_pairs(tmp_path / "pairs.tsv")
        with s2sbot.training(pairs, bot=bot, model=model, settings=tables(precision=precision, **train)) as run:
            events = list(run)
            return events, {name: tensor.clone() for name, tensor in run._loop.model.state_dict().items()}

    @pytest.mark.parametrize("model", ["attention", "stateful-broadcast", "peek", "simple"])
    def test_it_learns_as_float32_does(self, tmp_path, model):
        exact, _ = self.weights(tmp_path, "float32", model, steps=20)
        rough, weights = self.weights(tmp_path, "bf16", model, steps=20)
        assert all(tensor.dtype == torch.float32 for tensor in weights.values())
        one, other = (next(e.loss for e in events if e.step == 10 and e.kind == "step") for events in (exact, rough))
        assert one != other
        assert other == pytest.approx(one, rel=0.02)
        assert rough[-1].perplexity == pytest.approx(exact[-1].perplexity, rel=0.1)

    def test_it_resumes_to_the_bit(self, tmp_path):
        _, straight = self.weights(tmp_path, "bf16", "attention")
        bot = tmp_path / "halted.bot"
        pairs = write_pairs(tmp_path / "pairs.tsv")
        with s2sbot.training(pairs, bot=bot, settings=tables(precision="bf16")) as run:
            for event in run:
                if event.kind == "validation":
                    break
        with s2sbot.training(bot=bot, resume=True) as run:
            list(run)
            halted = run._loop.model.state_dict()
            assert all(torch.equal(straight[name], halted[name]) for name in straight)
