"""Which texts mean nearly the same, by the built-in sentence encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ENCODED_AT_ONCE = 512
"""Texts whose states are in memory together: 256 tokens of each at most."""
ROUGH_BY = 0.02
"""How far a cosine of vectors in bfloat16 may be off: seven times the most that was seen among the demo's rows."""


class Meanings:
    """Vectors of texts. Each text is encoded once, and where the processor multiplies bfloat16 in hardware, in that;
    pairs near the limit are then decided in float32, so that the verdict is the same on every machine."""

    def __init__(self) -> None:
        self._vectors: dict[str, torch.Tensor] = {}
        self._exact: dict[str, torch.Tensor] = {}

    def pairs(
        self, first: Sequence[str], second: Sequence[str], least: float
    ) -> Iterator[tuple[int, int, float]]:
        """(place in `first`, place in `second`, cosine) of all pairs with a cosine of `least` or more."""
        import torch

        if not first or not second:
            return
        is_rough = _is_rough()
        self._encode([*first, *second], self._vectors, rough=is_rough)
        left = torch.stack([self._vectors[text] for text in first])
        for start in range(0, len(second), ENCODED_AT_ONCE):
            part = second[start : start + ENCODED_AT_ONCE]
            cosines = left @ torch.stack([self._vectors[text] for text in part]).T
            near = (cosines >= least - (ROUGH_BY if is_rough else 0.0)).nonzero().tolist()
            if is_rough and near:
                texts = [text for place, other in near for text in (first[place], part[other])]
                self._encode(texts, self._exact, rough=False)
            for place, other in near:
                cosine = float(cosines[place, other])
                if is_rough:
                    cosine = float(self._exact[first[place]] @ self._exact[part[other]])
                if cosine >= least:
                    yield place, start + other, cosine

    @staticmethod
    def _encode(texts: Sequence[str], known: dict[str, torch.Tensor], *, rough: bool) -> None:
        import torch

        from tunesmith.models.encoder import load_encoder
        from tunesmith.models.load import set_threads

        set_threads(None)
        encoder, _ = load_encoder("builtin", layer=None, long_texts="cut", batch_size=64)
        # Of like length together, so that little is padding.
        fresh = sorted({text for text in texts if text not in known}, key=lambda text: (len(text), text))
        for start in range(0, len(fresh), ENCODED_AT_ONCE):
            part = fresh[start : start + ENCODED_AT_ONCE]
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=rough):
                encodings = encoder.encode(part, sentences=True, tokens=False)
            for text in part:
                vector = encodings[text].sentence
                assert vector is not None, "sentences were asked for"
                known[text] = vector.float()


def _is_rough() -> bool:
    import torch

    from tunesmith.models.load import cpu_multiplies_bfloat16

    return not torch.cuda.is_available() and cpu_multiplies_bfloat16()
