"""METEOR against NLTK called in its plain way, without and with WordNet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nltk.translate.meteor_score import meteor_score
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from tests.score.pairs import prediction, predictions, text_pairs
from tunesmith.cli import main
from tunesmith.errors import MissingError
from tunesmith.score.meteor import NoSynonyms, meteor
from tunesmith.score.stage import ScoreOptions
from tunesmith.score.wordnet import (
    FOLDERS,
    _open_reader,
    examine_wordnet,
    find_wordnet,
    open_wordnet,
    own_folder,
    prepare_wordnet,
)

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


def test_is_nltks_value_with_wordnet_on_200_pairs() -> None:
    """NLTK called in its plain way, with the reader itself: no shared stemmer, nothing remembered."""
    folder = find_wordnet()
    if folder is None:
        pytest.skip("no WordNet here: apt-get install wordnet-base")
    reader = _open_reader(folder)
    pairs = [
        *text_pairs(196),
        ("help", "aid"),
        ("he needs help", "he needs aid"),
        ("he fell", "he tumbled"),
        ("", ""),
    ]
    tokenize = Tokenizer13a()
    expected = [
        meteor_score([tokenize(r.strip()).split()], tokenize(a.strip()).split(), wordnet=reader)
        for a, r in pairs
    ]
    found = values(ScoreOptions(wordnet=str(folder)), pairs)
    assert found == expected
    assert found != values(OFF, pairs)


def test_synonyms_are_found_with_wordnet_only() -> None:
    if find_wordnet() is None:
        pytest.skip("no WordNet here: apt-get install wordnet-base")
    pair = [("he needs help", "he needs assist")]
    assert values(ScoreOptions(), pair)[0] > values(OFF, pair)[0]


def test_a_named_folder_without_wordnet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no WordNet dictionary"):
        open_wordnet(str(tmp_path))


# a dictionary of one noun, in the format of the manual page wndb(5WN); the offset is the length of what stands before
LICENCE = "  1 WordNet 3.0 Copyright 2006 by nobody: a made-up dictionary of one meaning.  \n"


def small_wordnet(folder: Path, nouns: tuple[str, ...] = ("car", "automobile")) -> Path:
    folder.mkdir(parents=True)
    offset = len(LICENCE)
    listed = " ".join(f"{noun} 0" for noun in nouns)
    data = f"{offset:08} 06 n {len(nouns):02x} {listed} 000 | a thing on wheels  \n"
    index = "".join(f"{noun} n 1 0 1 0 {offset:08}  \n" for noun in sorted(nouns))
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{part}").write_text(LICENCE + (data if part == "noun" else ""), encoding="utf-8")
        (folder / f"index.{part}").write_text(LICENCE + (index if part == "noun" else ""), encoding="utf-8")
        (folder / f"{part}.exc").write_text("", encoding="utf-8")
    return folder


@pytest.fixture
def no_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without WordNet, and a home of its own."""
    monkeypatch.setattr("tunesmith.score.wordnet.FOLDERS", ())
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path


def test_without_wordnet_it_is_said_how_to_come_by_it(no_wordnet: Path) -> None:
    assert "/usr/share/wordnet" in FOLDERS
    found = examine_wordnet()
    assert (found.folder, found.version, found.works) == (None, None, False)
    assert "apt-get install wordnet-base" in found.words
    assert "syn:off" in meteor(ScoreOptions()).signature


def test_a_prepared_dictionary_is_found_and_used_from_then_on(no_wordnet: Path) -> None:
    unpacked = small_wordnet(no_wordnet / "package/usr/share/wordnet").parents[2]
    found = prepare_wordnet(unpacked)
    assert (found.folder, found.version, found.works) == (own_folder(), "3.0", True)
    assert "WordNet 3.0" in found.words
    assert prepare_wordnet(own_folder()) == found == examine_wordnet()
    assert "wn:3.0|syn:nltk-stem" in meteor(ScoreOptions()).signature
    assert open_wordnet("auto") is not None


def test_synonyms_of_a_prepared_dictionary_count(no_wordnet: Path) -> None:
    # both words are their own stems, so that NLTK, which looks stems up, finds them
    prepare_wordnet(small_wordnet(no_wordnet / "unpacked", nouns=("car", "auto", "automobile")))
    pair = [("the auto", "the car")]
    # both words match in one chunk of two: fmean 1, penalty 0.5 * (1/2)^3
    assert values(ScoreOptions(), pair) == [1 - 0.5 / 8]
    # without: one of two words matches, precision and recall 1/2, penalty 0.5 * (1/1)^3
    assert values(OFF, pair) == [0.5 * 0.5]


def test_a_dictionary_that_knows_nothing_is_told(no_wordnet: Path) -> None:
    found = prepare_wordnet(small_wordnet(no_wordnet / "odd", nouns=("car", "train")))
    assert not found.works
    assert "install it again" in found.words


def test_a_damaged_dictionary_is_told_and_replaced(no_wordnet: Path) -> None:
    broken = small_wordnet(no_wordnet / "broken")
    (broken / "index.noun").write_text("nothing of the kind\n", encoding="utf-8")
    found = prepare_wordnet(broken)
    assert not found.works
    assert prepare_wordnet(small_wordnet(no_wordnet / "whole")).works


def test_nothing_to_prepare(no_wordnet: Path) -> None:
    with pytest.raises(MissingError, match="no WordNet dictionary"):
        prepare_wordnet(no_wordnet)
    assert find_wordnet() is None


def test_doctor_prepares_a_dictionary_and_tells_of_it(
    no_wordnet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> str:
        assert main(["doctor", *arguments, "--json"]) == 0
        checks = json.loads(capsys.readouterr().out)["checks"]
        (check,) = (one for one in checks if one["name"] == "wordnet")
        return f"{check['standing']}: {check['words']}"

    assert told() == "note: not found: METEOR counts no synonyms"
    unpacked = small_wordnet(no_wordnet / "package/usr/share/wordnet").parents[2]
    prepared = told("--wordnet", str(unpacked))
    assert prepared.startswith("ok: WordNet ")
    assert told() == prepared
    assert main(["doctor", "--wordnet", str(no_wordnet / "nothing")]) == 4
