"""The torch half: what a model plugin is built from, and what trains, scores and decodes it."""

from ..text.packed import Packed
from .attention import SCORES, AdditiveAttention, Attention, DotAttention, GeneralAttention
from .batch import Batch, pad_rows, source_rows
from .cells import (
    CELLS,
    Cell,
    GRUCell,
    LSTMCell,
    OriginalLSTMCell,
    RecurrentHighwayCell,
    SimpleRNNCell,
    StepCell,
    make_cell,
)
from .dataset import epoch_batches, sequential_batches
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
from .layers import AttentionSeq2Seq, Seq2Seq, SimpleSeq2Seq, load_original_weights
from .padding import last_real, reverse_rows
from .recurrent import INITIAL_STATES, BidirectionalRecurrent, Recurrent, RecurrentLayer, deep_cell
from .recurrent_model import INITIALISATIONS, ContextFirst, RecurrentConfig, RecurrentModel, initialise
from .scoring import Score, batch_loss, evaluate
from .sizes import LayerOptions, depth_pair
from .stack import MERGES, Feedback, Readout, Stack
from .textbook import broadcast

__all__ = [
    "CELLS",
    "INITIALISATIONS",
    "INITIAL_STATES",
    "MERGES",
    "SCORES",
    "AdditiveAttention",
    "Attention",
    "AttentionSeq2Seq",
    "Batch",
    "BidirectionalRecurrent",
    "Cell",
    "ContextFirst",
    "DotAttention",
    "EncoderDecoder",
    "Feedback",
    "GRUCell",
    "GeneralAttention",
    "Hypothesis",
    "LSTMCell",
    "LayerOptions",
    "Memory",
    "OriginalLSTMCell",
    "Packed",
    "Readout",
    "Recurrent",
    "RecurrentConfig",
    "RecurrentHighwayCell",
    "RecurrentLayer",
    "RecurrentModel",
    "Score",
    "Seq2Seq",
    "SimpleRNNCell",
    "SimpleSeq2Seq",
    "Stack",
    "State",
    "Step",
    "StepCell",
    "batch_loss",
    "broadcast",
    "choose_device",
    "deep_cell",
    "depth_pair",
    "epoch_batches",
    "evaluate",
    "generate",
    "initialise",
    "last_real",
    "load_original_weights",
    "make_cell",
    "pad_rows",
    "reverse_rows",
    "select_rows",
    "sequential_batches",
    "source_rows",
    "state_from_bytes",
    "state_to_bytes",
    "stream",
]
