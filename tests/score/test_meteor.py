"""METEOR against NLTK called in its plain way, without and with WordNet."""

from __future__ import annotations

from pathlib import Path

import pytest
from nltk.translate.meteor_score import meteor_score
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from tests.score.pairs import prediction, predictions, text_pairs
from tunesmith.errors import MissingError
from tunesmith.score.meteor import NoSynonyms, meteor
from tunesmith.score.stage import ScoreOptions
from tunesmith.score.wordnet import find_wordnet, open_wordnet

OFF = ScoreOptions(wordnet="off")


def values(options: ScoreOptions, pairs: list[tuple[str, str]]) -> list[float]:
    return [row[0] for row in meteor(options).stats(predictions(pairs)) if row is not None]


def test_is_nltks_value_without_synonyms() -> None:
    pairs = text_pairs()
    tokenize = Tokenizer13a()
    expected = [
        meteor_score([tokenize(r.strip()).split()], tokenize(a.strip()).split(), wordnet=NoSynonyms())
        for a, r in pairs
    ]
    assert values(OFF, pairs) == expected
    assert "syn:off" in meteor(OFF).signature


def test_by_hand() -> None:
    # all 4 words match in one chunk: fmean 1, penalty 0.5 * (1/4)^3
    [row] = meteor(OFF).stats([prediction("the pump is outside", "the pump is outside")])
    assert row == (1 - 0.5 / 64, 1.0)


def test_several_references_count_the_best() -> None:
    [row] = meteor(OFF).stats(
        [prediction("the pump is outside", ("nothing in common", "the pump is outside"))]
    )
    assert row == (1 - 0.5 / 64, 1.0)


def test_with_wordnet_gives_the_value_in_nltks_documentation() -> None:
    if find_wordnet() is None:
        pytest.skip("no WordNet here: apt-get install wordnet-base")
    # the example of nltk.translate.meteor_score
    answer = "It is a guide to action which ensures that the military always obeys the commands of the party"
    reference = "It is a guide to action that ensures that the military will forever heed Party commands"
    options = ScoreOptions(wordnet="auto")
    [row] = meteor(options).stats([prediction(answer, reference)])
    assert row is not None
    assert row[0] == pytest.approx(0.6944, abs=5e-5)
    assert "wn:3.0|syn:nltk-stem" in meteor(options).signature


def test_synonyms_are_found_with_wordnet_only() -> None:
    if find_wordnet() is None:
        pytest.skip("no WordNet here: apt-get install wordnet-base")
    pair = [("he needs help", "he needs assist")]
    assert values(ScoreOptions(), pair)[0] > values(OFF, pair)[0]


def test_a_named_folder_without_wordnet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no WordNet dictionary"):
        open_wordnet(str(tmp_path))
