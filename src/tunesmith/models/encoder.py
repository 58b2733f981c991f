"""A text encoder that gives what cosine and BERTScore need from one pass over each text.

Nothing is cut unless asked for: a text longer than the encoder reads is encoded in windows that overlap by half. Its
sentence vector is the mean of the windows' vectors; each of its token vectors comes from the window in which the token
stands farthest from the edges.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.errors import InputError

if TYPE_CHECKING:
    import torch

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Encoding:
    sentence: torch.Tensor | None
    """(d,): unit vector of the whole text; `None` when it was not asked for."""
    tokens: torch.Tensor | None
    """(t, d): unit vectors of the tokens, special ones included; `None` when they were not asked for."""
    weights: torch.Tensor | None
    """(t,): 1 for a token of the text, 0 for a special one, which may be matched but does not count."""


@dataclass(frozen=True)
class _Window:
    start: int
    """First token of the text that the window holds, not counting special tokens."""
    ids: Ids
    """With special tokens at both ends."""


class Encoder:
    """A transformer encoder in a local folder, in float32.

    Args:
        folder: a model folder that transformers reads; the pooling and window size of sentence-transformers are used
            where the folder tells them.
        layer: whose token vectors are given, counted from 1; `None` for the last.
        long_texts: `window` or `cut`.
        batch_size: windows encoded at once.
        sha256: hash of the weights, if it is known and checked already.
    """

    def __init__(
        self,
        folder: Path,
        *,
        layer: int | None,
        long_texts: Literal["window", "cut"],
        batch_size: int,
        sha256: str | None = None,
    ) -> None:
        from transformers import AutoConfig, AutoTokenizer

        config = AutoConfig.from_pretrained(folder)
        n_layers = config.num_hidden_layers
        if layer is not None and not 1 <= layer <= n_layers:
            raise InputError(
                f"the encoder has layers 1 to {n_layers}, not {layer}",
                where="score.encoder_layer",
                do="name one of them",
            )
        self.folder = folder
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.layer = layer or n_layers
        self.long_texts = long_texts
        self.batch_size = batch_size
        self.token_window = min(self.tokenizer.model_max_length, config.max_position_embeddings)
        sentence = _json(folder / "sentence_bert_config.json").get("max_seq_length") or self.token_window
        self.sentence_window = min(int(sentence), self.token_window)
        pooling = _json(folder / "1_Pooling" / "config.json")
        self.pooling = "cls" if pooling.get("pooling_mode_cls_token") else "mean"
        self.prefix, self.suffix = self._special_tokens()
        self.fingerprint = (sha256 or _weights_hash(folder))[:12]

    @cached_property
    def model(self) -> Any:
        """The transformer itself, loaded when the first text comes: adding scores up needs only the signature."""
        import torch
        from transformers import AutoModel

        from tunesmith.models.load import quiet

        with quiet():
            model = AutoModel.from_pretrained(self.folder, dtype=torch.float32).eval()
        return model.to("cuda" if torch.cuda.is_available() else "cpu")

    def encode(self, texts: Iterable[str], *, sentences: bool, tokens: bool) -> dict[str, Encoding]:
        """Encodings by text. Windows that several texts or both uses share are encoded once."""
        unique = list(dict.fromkeys(texts))
        ids = {text: self._ids(text) for text in unique}
        by_sentence = {text: self._windows(ids[text], self.sentence_window) for text in unique if sentences}
        by_token = {text: self._windows(ids[text], self.token_window) for text in unique if tokens}
        needed = (
            window.ids for use in (by_sentence, by_token) for windows in use.values() for window in windows
        )
        hidden = self._run(list(dict.fromkeys(needed)))
        encodings = {}
        for text in unique:
            vector = self._pool([hidden[window.ids] for window in by_sentence[text]]) if sentences else None
            stitched, weights = self._stitch(by_token[text], hidden) if tokens else (None, None)
            encodings[text] = Encoding(vector, stitched, weights)
        return encodings

    def _special_tokens(self) -> tuple[Ids, Ids]:
        """What the tokenizer puts before and after a text."""
        encoded = self.tokenizer("a", return_special_tokens_mask=True)
        special, ids = encoded["special_tokens_mask"], encoded["input_ids"]
        first = special.index(0)
        last = len(special) - special[::-1].index(0)
        return tuple(ids[:first]), tuple(ids[last:])

    def _ids(self, text: str) -> Ids:
        # half of a surrogate pair, as a cut-off reply may end in, is no text to a tokenizer
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _windows(self, ids: Ids, size: int) -> list[_Window]:
        room = size - len(self.prefix) - len(self.suffix)
        starts = [0]
        if self.long_texts == "window" and len(ids) > room:
            # the last window ends where the text ends, so that all are full
            starts = [*range(0, len(ids) - room, room // 2), len(ids) - room]
        return [_Window(start, self.prefix + ids[start : start + room] + self.suffix) for start in starts]

    def _run(self, windows: Sequence[Ids]) -> dict[Ids, tuple[torch.Tensor, torch.Tensor]]:
        """(last hidden states, hidden states of the chosen layer) of each window, both (t, d)."""
        import torch

        ordered = sorted(windows, key=len)
        pad = self.tokenizer.pad_token_id or 0
        found: dict[Ids, tuple[torch.Tensor, torch.Tensor]] = {}
        for start in range(0, len(ordered), self.batch_size):
            batch = ordered[start : start + self.batch_size]
            width = len(batch[-1])
            ids = torch.tensor([[*window, *[pad] * (width - len(window))] for window in batch])
            mask = torch.tensor([[1] * len(window) + [0] * (width - len(window)) for window in batch])
            device = self.model.device
            with torch.inference_mode():
                output = self.model(ids.to(device), attention_mask=mask.to(device), output_hidden_states=True)
            last, chosen = output.last_hidden_state.cpu(), output.hidden_states[self.layer].cpu()
            for row, window in enumerate(batch):
                found[window] = (last[row, : len(window)], chosen[row, : len(window)])
        return found

    def _pool(self, windows: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        import torch
        from torch.nn.functional import normalize

        pooled = [last[0] if self.pooling == "cls" else last.mean(dim=0) for last, _ in windows]
        return normalize(normalize(torch.stack(pooled), dim=-1).mean(dim=0), dim=-1)

    def _stitch(
        self, windows: Sequence[_Window], hidden: dict[Ids, tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token vectors (t, d) and weights (t,) of a text, out of its windows."""
        import torch
        from torch.nn.functional import normalize

        n_before, n_after = len(self.prefix), len(self.suffix)
        pieces: list[torch.Tensor] = []
        ids: list[int] = []
        position = -n_before
        for index, window in enumerate(windows):
            end = window.start + len(window.ids) - n_before
            if index + 1 < len(windows):
                # the overlap is shared out in the middle
                end = (window.start + len(window.ids) - n_before - n_after + windows[index + 1].start) // 2
            first, last = position - window.start + n_before, end - window.start + n_before
            pieces.append(hidden[window.ids][1][first:last])
            ids.extend(window.ids[first:last])
            position = end
        special = {self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, *self.prefix, *self.suffix}
        weights = torch.tensor([float(token not in special) for token in ids])
        return normalize(torch.cat(pieces), dim=-1), weights


@lru_cache(maxsize=1)
def load_encoder(
    name: str, *, layer: int | None, long_texts: Literal["window", "cut"], batch_size: int
) -> tuple[Encoder, str]:
    """The encoder called `name` and what to call it in a signature. The last one loaded is kept for the next metric."""
    if name == "builtin":
        from tunesmith.models.builtin import ENCODER_SHA256, encoder_folder

        folder, shown, sha256 = encoder_folder(), "all-MiniLM-L6-v2", ENCODER_SHA256
    else:
        from tunesmith.models.load import model_folder

        folder, shown, sha256 = model_folder(name), Path(name).name, None
    encoder = Encoder(folder, layer=layer, long_texts=long_texts, batch_size=batch_size, sha256=sha256)
    return encoder, shown


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _weights_hash(folder: Path) -> str:
    """SHA-256 of the weights; of a single file, the hash that `sha256sum` gives."""
    files = sorted(folder.glob("*.safetensors"))
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
