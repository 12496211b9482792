"""What every model, tokenizer, reader and metric must do, ours and strangers': classes go in, findings come out.

from s2sbot.testing import check_model

def test_my_model():
    check_model(MyModel, MyModel.Config(hidden_size=16))

`check_...` raises AssertionError at the first thing that is wrong; `..._checks` goes on and yields a finding a check,
which is what `s2sbot plugins check` shows.
"""

from .findings import Finding
from .metric import check_metric, metric_checks
from .model import check_model, model_checks
from .reader import check_reader, reader_checks
from .tokenizer import check_tokenizer, tokenizer_checks

__all__ = [
    "Finding",
    "check_metric",
    "check_model",
    "check_reader",
    "check_tokenizer",
    "metric_checks",
    "model_checks",
    "reader_checks",
    "tokenizer_checks",
]
