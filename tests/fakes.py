"""Hand-made stand-ins: a model whose probabilities are written down."""

import torch
from torch import nn

from s2sbot import EOS, RESERVED
from s2sbot.nn import EncoderDecoder, Memory, Step

A, B, C, D = range(RESERVED, RESERVED + 4)


class TableModel(EncoderDecoder):
    """Says next tokens by a table {what was said so far: {token: probability}}; the source only picks the table."""

    Config = dict

    def __init__(self, tables, source_vocab=RESERVED + 8, target_vocab=RESERVED + 8):
        super().__init__(tables, source_vocab, target_vocab)
        self.tables = tables
        self.vocabulary = target_vocab
        self.anchor = nn.Parameter(torch.zeros(1))

    def encode(self, source, source_mask, carry=()):
        which = (source[:, :1] - RESERVED).float()
        self.carried = carry
        return Memory(source.float().unsqueeze(2), source_mask, (which, torch.zeros(source.shape[0], 20)))

    def decode(self, tokens, memory, state):
        which, said = state
        hidden = []
        for time in range(tokens.shape[1]):
            # a row of `said` counts in its first place and lists what was said behind it
            said = said.clone()
            for row, token in enumerate(tokens[:, time].tolist()):
                if token >= RESERVED:
                    said[row, 0] += 1
                    said[row, int(said[row, 0])] = token
            hidden.append(torch.cat([which, said], 1))
        return Step(torch.stack(hidden, 1), (which, said), None)

    def project(self, hidden):
        rows = hidden.reshape(-1, hidden.shape[-1])
        logits = torch.full((len(rows), self.vocabulary), -1e4)
        for index, row in enumerate(rows):
            path = tuple(int(token) for token in row[2 : 2 + int(row[1])])
            for token, probability in self.tables[int(row[0])].get(path, {EOS: 1.0}).items():
                logits[index, token] = torch.tensor(probability).log()
        return logits.view(*hidden.shape[:-1], -1)

    def carry(self, memory, final_state):
        return final_state
