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
from .deferred import deferred
from .device import choose_device
from .encoder_decoder import (
    EncoderDecoder,
    LinearOutput,
    Memory,
    OutputLayer,
    State,
    Step,
    select_rows,
    state_from_bytes,
    state_to_bytes,
)
from .layers import AttentionSeq2Seq, Seq2Seq, SimpleSeq2Seq, load_original_weights
from .output_loss import LOGITS_BYTES, linear_cross_entropy
from .padding import last_real, reverse_rows
from .recurrent import INITIAL_STATES, BidirectionalRecurrent, Recurrent, RecurrentLayer, deep_cell
from .recurrent_model import INITIALISATIONS, ContextFirst, RecurrentConfig, RecurrentModel, initialise
from .sampled_softmax import Candidates, Proposal, sampled_cross_entropy
from .scoring import Score, batch_loss, evaluate, output_loss
from .sizes import LayerOptions, depth_pair
from .stack import MERGES, Feedback, Readout, Stack
from .steps import Stepper
from .textbook import broadcast

__all__ = [
    "CELLS",
    "INITIALISATIONS",
    "INITIAL_STATES",
    "LOGITS_BYTES",
    "MERGES",
    "SCORES",
    "AdditiveAttention",
    "Attention",
    "AttentionSeq2Seq",
    "Batch",
    "BidirectionalRecurrent",
    "Candidates",
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
    "LinearOutput",
    "Memory",
    "OriginalLSTMCell",
    "OutputLayer",
    "Packed",
    "Proposal",
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
    "Stepper",
    "batch_loss",
    "broadcast",
    "choose_device",
    "deep_cell",
    "deferred",
    "depth_pair",
    "epoch_batches",
    "evaluate",
    "generate",
    "initialise",
    "last_real",
    "linear_cross_entropy",
    "load_original_weights",
    "make_cell",
    "output_loss",
    "pad_rows",
    "reverse_rows",
    "sampled_cross_entropy",
    "select_rows",
    "sequential_batches",
    "source_rows",
    "state_from_bytes",
    "state_to_bytes",
    "stream",
]
