"""The torch half: what a model plugin is built from, and what trains, scores and decodes it."""

from .attention import GeneralAttention
from .batch import Batch, pad_rows, source_rows
from .dataset import Packed, epoch_batches, sequential_batches
from .decoding import Hypothesis, generate, stream
from .device import choose_device
from .encoder_decoder import (
    EncoderDecoder,
    Memory,
    State,
    Step,
    select_rows,
    state_from_bytes,
    state_to_bytes,
)
from .recurrent import CELLS, BidirectionalRecurrent, Recurrent, last_real, reverse_rows
from .scoring import Score, batch_loss, evaluate

__all__ = [
    "CELLS",
    "Batch",
    "BidirectionalRecurrent",
    "EncoderDecoder",
    "GeneralAttention",
    "Hypothesis",
    "Memory",
    "Packed",
    "Recurrent",
    "Score",
    "State",
    "Step",
    "batch_loss",
    "choose_device",
    "epoch_batches",
    "evaluate",
    "generate",
    "last_real",
    "pad_rows",
    "reverse_rows",
    "select_rows",
    "sequential_batches",
    "source_rows",
    "state_from_bytes",
    "state_to_bytes",
    "stream",
]
