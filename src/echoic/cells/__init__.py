"""Recurrent cells, one family a file; their stacks; and how to keep what is fixed from training."""

from echoic.cells.bidirectional import Bidirectional
from echoic.cells.elman import Elman
from echoic.cells.embedding import Embedding
from echoic.cells.gru import GRU, ResetBeforeGRU
from echoic.cells.linear import LinearRNN
from echoic.cells.lstm import LSTM, FullPeepholeLSTM, LSTMState, PeepholeLSTM
from echoic.cells.minimal import MinimalRNN
from echoic.cells.network import Network
from echoic.cells.readout import Readout, TiedReadout
from echoic.cells.residual import Residual
from echoic.cells.store import load, save
from echoic.cells.untied import Untied
from echoic.core.trainable import trainable_filter

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Elman",
    "Embedding",
    "FullPeepholeLSTM",
    "LSTMState",
    "LinearRNN",
    "MinimalRNN",
    "Network",
    "PeepholeLSTM",
    "Readout",
    "ResetBeforeGRU",
    "Residual",
    "TiedReadout",
    "Untied",
    "load",
    "save",
    "trainable_filter",
]
