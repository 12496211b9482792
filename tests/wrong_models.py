"""Hand-made stand-ins: models that break the contract in one way each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from right_models import Adaptive, Mindful, NearlyTied, Plain, Right, SaysItsOutputLayer
from torch import nn

from s2sbot.nn import LinearOutput, Memory, Step


class PaddingReachesTheEncoder(Right):
    def encode(self, source, source_mask, carry=()):
        return super().encode(source, torch.ones_like(source_mask), carry)._replace(mask=source_mask)


class StateAtTheEndOfThePadding(Right):
    def decode(self, tokens, memory, state):
        hidden, state = self.decoder(self.target(tokens), None, state)
        return Step(hidden, state, None)


class PaddingIsAttendedTo(Right):
    def weights(self, scores, mask):
        return scores.softmax(2)


class StateNotBatchFirst(Right):
    def encode(self, source, source_mask, carry=()):
        memory = super().encode(source, source_mask, carry)
        return memory._replace(state=(memory.state[0].unsqueeze(0),))

    def decode(self, tokens, memory, state):
        step = super().decode(tokens, memory, (state[0][0],))
        return step._replace(state=(step.state[0].unsqueeze(0),))


class StateGrows(Right):
    def decode(self, tokens, memory, state):
        step = super().decode(tokens, memory, state[:1])
        return step._replace(state=(*step.state, step.state[0]))


class ReturnsAPlainTuple(Right):
    def encode(self, source, source_mask, carry=()):
        return tuple(super().encode(source, source_mask, carry))


class MaskOfNumbers(Right):
    def encode(self, source, source_mask, carry=()):
        memory = super().encode(source, source_mask, carry)
        return memory._replace(mask=source_mask.long())

    def weights(self, scores, mask):
        return super().weights(scores, mask.bool())


class LogitsOfTheSource(Right):
    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.output = nn.Linear(config.size, source_vocab)


class OneTableForBoth(Right):
    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.source = self.target


class CountsTheCallsTime(Right):
    """Knows the time of a token only within one call."""

    def decode(self, tokens, memory, state):
        step = super().decode(tokens, memory, state)
        times = torch.arange(tokens.shape[1]).view(1, -1, 1)
        return step._replace(hidden=step.hidden + 0.01 * times)


class RowsMix(Right):
    def encode(self, source, source_mask, carry=()):
        memory = super().encode(source, source_mask, carry)
        return memory._replace(state=tuple(part + part.mean(0) for part in memory.state))


class PlaceInTheBatchCounts(Right):
    """Says other words in the second row, though no hidden state shows it."""

    def project(self, hidden):
        logits = super().project(hidden)
        if hidden.dim() == 2 and len(hidden) > 1:
            logits = torch.cat([logits[:1], logits[1:].roll(3, 1)])
        return logits


class FarFromTied(NearlyTied):
    rounding = 1e-3


class RemembersTheBatch(Right):
    """Attends to what it saw last, not to the memory that it is given."""

    def encode(self, source, source_mask, carry=()):
        self.last = super().encode(source, source_mask, carry)
        return self.last

    def decode(self, tokens, memory, state):
        return super().decode(tokens, self.last if len(self.last.mask) == len(tokens) else memory, state)


class ChangesTheStateInPlace(Right):
    def decode(self, tokens, memory, state):
        step = super().decode(tokens, memory, state)
        if not torch.is_grad_enabled():
            state[0].copy_(step.state[0])
        return step


class CountsCalls(Right):
    """Tires: every call says something else than the one before."""

    calls = 0

    def decode(self, tokens, memory, state):
        self.calls += 1
        return super().decode(tokens, memory, state)

    def project(self, hidden):
        return super().project(hidden).roll(self.calls, -1)


class DrawsInEvaluation(Right):
    def decode(self, tokens, memory, state):
        step = super().decode(tokens, memory, state)
        return step._replace(hidden=step.hidden + 1e-6 * torch.randn_like(step.hidden))


class DrawsForNothing(Right):
    def decode(self, tokens, memory, state):
        torch.rand(1)
        return super().decode(tokens, memory, state)


class LeavesEvaluation(Right):
    def decode(self, tokens, memory, state):
        step = super().decode(tokens, memory, state)
        self.train()
        return step


class KeepsWeightsToItself(Right):
    """Has a tensor that is neither a parameter nor a buffer."""

    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.scale = torch.rand(config.size)

    def project(self, hidden):
        return super().project(hidden * self.scale)


class KeepsItsMindInTraining(Right):
    """Is not stateful, but starts a batch of training from what the batch before left on it."""

    kept = None

    def encode(self, source, source_mask, carry=()):
        memory = super().encode(source, source_mask, carry)
        if not self.training:
            return memory
        state = memory.state
        if self.kept is not None and self.kept[0].shape == state[0].shape:
            state = tuple(part + 0.1 * old for part, old in zip(state, self.kept, strict=True))
        self.kept = tuple(part.detach() for part in memory.state)
        return memory._replace(state=state)


class LosesABuffer(Right):
    """Has a buffer that training changes and saving leaves out."""

    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.register_buffer("steps", torch.zeros(1), persistent=False)

    def project(self, hidden):
        if self.training:
            self.steps += 1
        return super().project(hidden) + 0.01 * self.steps


class SetsASeed(Right):
    def __init__(self, config, source_vocab, target_vocab):
        torch.manual_seed(7)
        super().__init__(config, source_vocab, target_vocab)


class HasASeedOfItsOwn(Right):
    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0.0, 0.1, generator=generator)


class SetsASeedInTraining(Right):
    def encode(self, source, source_mask, carry=()):
        if self.training:
            torch.manual_seed(7)
        return super().encode(source, source_mask, carry)


class DrawsFromElsewhere(Right):
    made = 0

    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        DrawsFromElsewhere.made += 1
        with torch.no_grad():
            self.output.bias.fill_(0.001 * DrawsFromElsewhere.made)


class HasAnUnusedParameter(Right):
    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.spare = nn.Parameter(torch.ones(3))


class HasAParameterTimesZero(HasAnUnusedParameter):
    def project(self, hidden):
        return super().project(hidden) + 0 * self.spare.sum()


class HasGradientsWithoutEnd(Right):
    def project(self, hidden):
        return super().project(hidden) + (hidden[..., :1] * 0).sqrt()


class OpensAGateLater(HasAnUnusedParameter):
    """Right: what is behind the gate has a gradient of zero in the first step only."""

    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.gate = nn.Parameter(torch.zeros(1))

    def project(self, hidden):
        return super().project(hidden + self.gate * self.spare.sum())


class IgnoresTheSource(Plain):
    def encode(self, source, source_mask, carry=()):
        memory = super().encode(source, source_mask, carry)
        return Memory(memory.values * 0, memory.mask, tuple(part * 0 for part in memory.state))


class SaysItHasAMind(Right):
    stateful = True


class HasAMindAndForgets(Mindful):
    def encode(self, source, source_mask, carry=()):
        return super().encode(source, source_mask, ())


class HasAMindAndDoesNotSay(Mindful):
    stateful = False


class KeepsItsMindInside(Right):
    mind = ()

    def encode(self, source, source_mask, carry=()):
        here = tuple(part for part in self.mind if len(part) == len(source))
        memory = super().encode(source, source_mask, here)
        self.mind = tuple(part.detach() for part in memory.state)
        return memory


class MindThatGrows(Mindful):
    times = 0

    def encode(self, source, source_mask, carry=()):
        size = self.source.embedding_dim
        self.times = carry[0].shape[1] // size if carry else 0
        return super().encode(source, source_mask, tuple(part[:, :size] for part in carry))

    def carry(self, memory, final_state):
        return tuple(part.repeat(1, self.times + 1) for part in final_state)


class MindNotBatchFirst(Mindful):
    def encode(self, source, source_mask, carry=()):
        return super().encode(source, source_mask, tuple(part[0] for part in carry))

    def carry(self, memory, final_state):
        return tuple(part.unsqueeze(0) for part in final_state)


class ZerosAreAMind(Mindful):
    def encode(self, source, source_mask, carry=()):
        return super().encode(source, source_mask, tuple(part + 0.1 for part in carry))


class MindsMix(Mindful):
    def encode(self, source, source_mask, carry=()):
        return super().encode(source, source_mask, tuple(part + part.mean(0) for part in carry))


class MindAtTheEndOfThePadding(Mindful):
    def carry(self, memory, final_state):
        return (memory.values[:, -1].clone(),)


class MindOfANumber(Mindful):
    def carry(self, memory, final_state):
        return (*final_state, 3)


class TablesOfAnotherSize(Right):
    def embeddings(self):
        return self.target, self.source


class TablesOfNobody(Right):
    def embeddings(self):
        return nn.Embedding.from_pretrained(self.source.weight.detach()), self.target


class TablesThatAreNone(Right):
    def embeddings(self):
        return self.source, self.output


class OutputLayerWithoutItsBias(SaysItsOutputLayer):
    def output_layer(self):
        return LinearOutput(self.output.weight, None)


class OutputLayerWithoutItsDropout(Right):
    """Says of `project` what it is in evaluation only."""

    def project(self, hidden):
        return self.output(self.dropout(hidden))

    def output_layer(self):
        return LinearOutput(self.output.weight, self.output.bias)


class OutputLayerThatDoesNotLearn(SaysItsOutputLayer):
    def output_layer(self):
        return LinearOutput(self.output.weight.detach(), self.output.bias.detach())


class OutputLayerOfTheBeginning(SaysItsOutputLayer):
    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.first = LinearOutput(self.output.weight.detach().clone(), self.output.bias.detach().clone())

    def output_layer(self):
        return self.first


class OutputLayerIsALinear(SaysItsOutputLayer):
    def output_layer(self):
        return self.output


class AdaptiveOutputLayerOfAnother(Adaptive):
    """Has two, of which `project` takes the one and training the other: only rare tokens differ."""

    def __init__(self, config, source_vocab, target_vocab):
        super().__init__(config, source_vocab, target_vocab)
        self.other = nn.AdaptiveLogSoftmaxWithLoss(config.size, target_vocab, [18, 24], div_value=2, head_bias=True)
        self.other.head = self.output.head

    def output_layer(self):
        return self.other


class UnknownSize(Right):
    sizes = {"huge": {"size": 4096}}  # noqa: RUF012


class SizeOfAnUnknownKnob(Right):
    sizes = {"large": {"hidden": 4096}}  # noqa: RUF012


class PresetOfAnUnknownTable(Right):
    presets = {"paper": {"models": {"size": 4096}}}  # noqa: RUF012


class PresetOutOfLimits(Right):
    presets = {"paper": {"model": {"size": "wide"}}}  # noqa: RUF012


@dataclass(frozen=True)
class Needy:
    size: int


class ConfigNeedsAValue(Right):
    Config = Needy
