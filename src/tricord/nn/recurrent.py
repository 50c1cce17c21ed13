"""LSTMs over packed frames."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tricord.nn.dropout import Dropout
from tricord.types import Frames


class FrameLSTM(nn.Module):
    """Reads each clip's own frames and no padding; parameters as in `torch.nn.LSTM`, in ``rnn``."""

    def __init__(
        self, width: int, hidden: int, *, layers: int = 1, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.rnn = nn.LSTM(width, hidden, layers, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Frames) -> tuple[Frames, Tensor]:
        """Outputs of every frame, and the last states, (layers * directions, B, hidden).

        Both are 0 for a clip without a frame.
        """
        padded, mask = x.pad()
        packed = pack_padded_sequence(
            padded, x.lengths.clamp(min=1), batch_first=True, enforce_sorted=False
        )
        outputs, (last, _) = self.rnn(packed)
        every, _ = pad_packed_sequence(outputs, batch_first=True)
        empty = (x.lengths == 0).to(last.device)
        return Frames(every[mask], x.lengths), last.masked_fill(empty[None, :, None], 0.0)


class LastState(nn.Module):
    """A vector for each clip: an LSTM's last state, dropout, an affine layer."""

    def __init__(self, width: int, hidden: int, out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = FrameLSTM(width, hidden)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(hidden, out)

    def forward(self, x: Frames) -> Tensor:
        """(B, out); the affine layer's bias for a clip without a frame."""
        _, last = self.lstm(x)
        out: Tensor = self.out(self.dropout(last[-1]))
        return out
