"""Cosine and BERTScore against sentence-transformers and bert_score, on the built-in encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch

from tests.score.pairs import prediction, predictions, text_pairs
from tunesmith.errors import InputError
from tunesmith.models.builtin import encoder_folder
from tunesmith.models.encoder import Encoder
from tunesmith.score.semantic import bertscore, cosine
from tunesmith.score.stage import ScoreOptions, open_metrics, score_predictions

SHORT = [(a, r) for a, r in text_pairs(230, words=(1, 3, 6, 12), long=60) if a.strip()]
LONG = " ".join(f"sentence {i} tells of pumps, tanks and room number {i * 7}." for i in range(50))
"""Far more than the 512 tokens that the encoder reads at once."""


def both(pairs: Sequence[tuple[str, str | Sequence[str]]], **options: Any) -> dict[str, list[float]]:
    """Values by metric."""
    metrics = open_metrics(ScoreOptions(metrics=("cosine", "bertscore"), **options))
    found: dict[str, list[float]] = {"cosine": [], "bertscore": []}
    for score in score_predictions(predictions(pairs), metrics):
        assert score.value is not None
        found[score.metric].append(score.value)
    return found


@cache
def bert_scorer() -> Any:
    from bert_score import BERTScorer

    return BERTScorer(model_type=str(encoder_folder()), num_layers=6, idf=False, device="cpu")


def bert_scores(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """bert_score's F1, pair by pair: in larger batches its padding counts as a token of similarity 0, which lifts
    pairs that have nothing in common."""
    answers, references = ([text.strip() for text in column] for column in zip(*pairs, strict=True))
    return bert_scorer().score(answers, references, batch_size=1)[2].tolist()  # type: ignore[no-any-return]


def cosines(pairs: Sequence[tuple[str, str]]) -> list[float]:
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(encoder_folder()), device="cpu")
    left, right = (
        model.encode([text.strip() for text in column], normalize_embeddings=True)
        for column in zip(*pairs, strict=True)
    )
    return (left * right).sum(axis=1).tolist()  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_values_are_those_of_bert_score_and_sentence_transformers() -> None:
    assert len(SHORT) >= 200
    found = both(SHORT)
    assert found["bertscore"] == pytest.approx(bert_scores(SHORT), abs=1e-6)
    assert found["cosine"] == pytest.approx(cosines(SHORT), abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_long_texts_cut_on_request_as_the_other_tools_do() -> None:
    text = f"{LONG} " * 5
    assert len(text.split()) >= 2000
    pairs = [(text, text[len(LONG) // 2 :])]
    found = both(pairs, long_texts="cut")
    assert found["bertscore"] == pytest.approx(bert_scores(pairs), abs=1e-6)
    assert found["cosine"] == pytest.approx(cosines(pairs), abs=1e-6)


def test_the_end_of_a_long_text_counts() -> None:
    other_end = LONG + " Bananas are yellow and sweet." * 20
    pairs = [(LONG, other_end)]
    cut, windowed = both(pairs, long_texts="cut"), both(pairs)
    for name in ("cosine", "bertscore"):
        assert cut[name] == pytest.approx([1.0], abs=1e-5)
        assert windowed[name][0] < 0.99


def test_windows_are_put_together_as_described() -> None:
    encoder = Encoder(encoder_folder(), layer=None, long_texts="window", batch_size=8)
    ids = tuple(encoder.tokenizer(LONG, add_special_tokens=False, verbose=False)["input_ids"])
    room, n = 254, len(ids)
    starts = [0]
    while starts[-1] + room < n:
        starts.append(min(starts[-1] + room // 2, n - room))
    vectors = []
    for start in starts:
        window = torch.tensor([[101, *ids[start : start + room], 102]])
        with torch.inference_mode():
            hidden = encoder.model(window).last_hidden_state[0].mean(dim=0)
        vectors.append(hidden / hidden.norm())
    expected = torch.stack(vectors).mean(dim=0)
    encoding = encoder.encode([LONG], sentences=True, tokens=True)[LONG]
    assert encoding.sentence is not None
    assert torch.allclose(encoding.sentence, expected / expected.norm(), atol=1e-5)
    assert encoding.tokens is not None
    assert encoding.weights is not None
    # every token once, and [CLS] and [SEP], which carry no weight
    assert encoding.tokens.shape[0] == n + 2
    assert (int(encoding.weights.sum()), encoding.weights[0], encoding.weights[-1]) == (n, 0, 0)


def test_best_of_several_references_and_empty_answers() -> None:
    one = [("The pump is outside.", ("Bananas are sweet.", "The pump is outside."))]
    for name, values in both(one).items():
        assert values == pytest.approx([1.0], abs=1e-5)
        [score] = score_predictions([prediction(" ", "text")], open_metrics(ScoreOptions(metrics=name)))
        assert (score.value, score.status) == (0.0, "empty")


def test_texts_that_are_hardly_texts() -> None:
    odd = ["\ud83d half an emoji", "a\x00b", "\u200b", "x" * 5000]
    for values in both([(text, "some reference") for text in odd]).values():
        assert all(-1 <= value < 0.9 for value in values)


def test_each_text_is_encoded_once_for_both_metrics_and_all_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = Encoder.encode

    def counted(self: Encoder, texts: Any, **wanted: bool) -> Any:
        texts = list(texts)
        seen.extend(dict.fromkeys(texts))
        return encode(self, texts, **wanted)

    monkeypatch.setattr(Encoder, "encode", counted)
    pairs = [(f"answer number {i}", f"reference number {i}") for i in range(70)]
    both = predictions(pairs) + predictions([(f"other {a}", r) for a, r in pairs], system="tuned")
    scores = list(score_predictions(both, [cosine(ScoreOptions(metrics="cosine,bertscore")), bertscore()]))
    assert len(scores) == 2 * 140
    assert len(seen) == len(set(seen)) == 3 * 70
    assert all(score.value is not None and math.isfinite(score.value) for score in scores)


def test_signature_names_the_encoder_its_weights_and_the_window() -> None:
    options = ScoreOptions(metrics="cosine,bertscore", encoder_layer=3)
    assert "all-MiniLM-L6-v2@53aa51172d14|pool:mean|window:256|long:window" in cosine(options).signature
    assert "all-MiniLM-L6-v2@53aa51172d14|layer:3|no-idf|raw-F1|window:512" in bertscore(options).signature


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(InputError, match="layers 1 to 6, not 9"):
        bertscore(ScoreOptions(metrics="bertscore", encoder_layer=9))
