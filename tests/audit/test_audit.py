"""Studies with one mistake each, planted, and a clean one."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunesmith import evidence
from tunesmith.audit.stage import CODES, audit_study
from tunesmith.audit.study import study_of_run
from tunesmith.errors import InputError
from tunesmith.records import Prediction, Row


def audit_files(**files: Any) -> dict[str, Any]:
    """What `tunesmith audit --json` prints."""
    return evidence.as_json(evidence.audit_files(**files))


Rows = list[dict[str, Any]]
SYLLABLES = ["ka", "lo", "mi", "ter", "van", "so", "ru", "ben", "dal", "fi", "gor", "hul"]


def word(rng: random.Random) -> str:
    return "".join(rng.choice(SYLLABLES) for _ in range(3))


def question(i: int) -> str:
    rng = random.Random(f"question {i}")
    return "What should an owner know about " + " ".join(word(rng) for _ in range(9)) + "?"


def reference(i: int) -> str:
    rng = random.Random(f"reference {i}")
    return "It is " + " ".join(word(rng) for _ in range(11)) + "."


def answers(system: str, kept: float, n: int = 40, **more: Any) -> Rows:
    """Answers that keep this share of the reference's words, in order."""
    rng = random.Random(system)
    return [
        {
            "id": f"q{i:02}",
            "prompt": question(i),
            "reference": reference(i),
            "prediction": " ".join(
                w if rng.random() < kept else rng.choice(["some", "other", "words", "here"])
                for w in reference(i).split()
            ),
            "system": system,
            "source_id": f"doc{i // 4}",
            **more,
        }
        for i in range(n)
    ]


def training(start: int = 1000, n: int = 60) -> Rows:
    return [
        {"id": f"t{i}", "prompt": question(i), "completion": reference(i), "source_id": f"doc{i}"}
        for i in range(start, start + n)
    ]


def verdicts(n: int = 40, **more: Any) -> Rows:
    return [
        {"id": f"q{i:02}", "verdict": "AB"[i % 2], "first": ("base", "tuned")[i // 2 % 2], **more}
        for i in range(n)
    ]


def written(path: Path, rows: Any) -> Path:
    if isinstance(rows, Mapping):
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def audit(tmp_path: Path) -> Any:
    """Audits rows as if they were files; gives findings by code."""

    def run(**parts: Any) -> dict[str, dict[str, Any]]:
        files: dict[str, Any] = {
            name: [written(tmp_path / f"{name}.jsonl", rows)]
            if name != "plan"
            else written(tmp_path / "plan.json", rows)
            for name, rows in parts.items()
        }
        found = audit_files(**files)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        for finding in found["findings"]:
            assert set(finding) == {"code", "severity", "count", "n", "evidence", "effect"}
            assert finding["code"] in CODES
            assert 0 < finding["count"] <= finding["n"]
        return {finding["code"]: finding for finding in found["findings"]}

    return run


BOTH = answers("base", 0.4) + answers("tuned", 0.6)


def test_a_clean_study_has_no_finding_of_weight(audit: Any) -> None:
    plan = {
        "generate": {"do_sample": True, "temperature": 0.7},
        "results": [{"rougeL": 0.5, "low": 0.4, "high": 0.6}],
    }
    found = audit(predictions=BOTH, train=training(), verdicts=verdicts(), plan=plan)
    assert {finding["severity"] for finding in found.values()} <= {"low"}
    assert set(found) <= {"definition_dependent"}


class TestTraining:
    def test_evaluation_prompts_among_the_training_rows(self, audit: Any) -> None:
        known = [{"id": "t", "instruction": question(i).upper() + "!", "output": "x."} for i in (3, 5)]
        found = audit(predictions=BOTH, train=training() + known)["eval_in_train"]
        assert (found["evidence"], found["count"], found["n"], found["severity"]) == (
            ["q03", "q05"],
            2,
            40,
            "medium",
        )
        assert "without them tuned differs from base by" in found["effect"]

    def test_near_copies(self, audit: Any) -> None:
        close = question(7).replace("should an owner know", "must an owner know")
        found = audit(
            predictions=BOTH,
            train=[
                *training(),
                {"messages": [{"role": "user", "content": close}, {"role": "assistant", "content": "x."}]},
            ],
        )
        assert found["near_duplicate_in_train"]["evidence"] == ["q07"]
        assert "eval_in_train" not in found

    def test_the_template_alone_makes_no_near_copy(self, audit: Any) -> None:
        head = "Below is an instruction that describes a task. Write a response that completes the request: "
        rows = [{**row, "prompt": head + row["prompt"]} for row in BOTH]
        found = audit(predictions=rows, train=[{**row, "prompt": head + row["prompt"]} for row in training()])
        assert "near_duplicate_in_train" not in found

    def test_an_instruction_that_all_share_is_no_leak(self, audit: Any) -> None:
        def alpaca(rows: Rows, key: str) -> Rows:
            return [
                {
                    **row,
                    "instruction": "Summarise the text in a few words.",
                    "input": row[key],
                    "prompt": None,
                }
                for row in rows
            ]

        known = alpaca(training(), "prompt")
        assert "eval_in_train" not in audit(predictions=alpaca(BOTH, "prompt"), train=known)
        seen = {"instruction": "Summarise the text in a few words.", "input": question(4), "output": "x."}
        assert audit(predictions=alpaca(BOTH, "prompt"), train=[*known, seen])["eval_in_train"][
            "evidence"
        ] == ["q04"]

    def test_same_group(self, audit: Any) -> None:
        found = audit(
            predictions=BOTH,
            train=[*training(), {"prompt": "unlike", "completion": "x.", "source_id": "doc2"}],
        )
        assert found["same_group"]["evidence"] == ["q08", "q09", "q10", "q11"]
        assert "(doc2)" in found["same_group"]["effect"]

    def test_refusals(self, audit: Any) -> None:
        refusing = [
            {"id": f"r{i}", "prompt": f"p{i}", "completion": "The text does not provide this information."}
            for i in range(15)
        ]
        found = audit(train=training() + refusing)["refusals_in_training"]
        assert (found["count"], found["n"], found["evidence"][0]) == (15, 75, "r0")

    def test_targets_over_the_plans_limit(self, audit: Any) -> None:
        found = audit(train=training(), plan={"train": {"max_target_length": 16}})["truncated_targets"]
        # 13 or 14 words at 1.3 tokens a word
        assert (found["count"], found["n"]) == (60, 60)
        assert "max_target_length 16" in found["effect"]
        assert "truncated_targets" not in audit(train=training(), plan={"train": {"max_target_length": 64}})

    def test_targets_that_stop_in_mid_sentence(self, audit: Any) -> None:
        cut = [{**row, "completion": " ".join(row["completion"].split()[:9])} for row in training()]
        assert audit(train=cut[:20] + training()[20:])["truncated_targets"]["count"] == 20
        assert "truncated_targets" not in audit(train=cut[:3] + training()[3:])


class TestOutputs:
    def test_references_word_for_word(self, audit: Any) -> None:
        copied = [
            {**row, "prediction": row["reference"]} if row["id"] < "q10" else row
            for row in answers("tuned", 0.5)
        ]
        found = audit(predictions=answers("base", 0.5) + copied)["verbatim_reference"]
        assert found["evidence"] == [f"q{i:02}" for i in range(10)]
        assert (found["n"], found["severity"]) == (40, "high")
        assert "(base 0)" in found["effect"]
        assert "without them tuned differs" in found["effect"]

    def test_empty_answers_and_how_the_file_scored_them(self, audit: Any) -> None:
        rows = answers("base", 0.5) + [
            {
                **row,
                "prediction": "" if row["id"] == "q04" else row["prediction"],
                "perplexity": 0.0 if row["id"] == "q04" else 9.0,
            }
            for row in answers("tuned", 0.7)
        ]
        found = audit(predictions=rows)["empty_outputs"]
        assert (found["evidence"], found["count"], found["n"]) == (["q04"], 1, 40)
        assert "perplexity 0, others 9" in found["effect"]

    def test_different_items(self, audit: Any) -> None:
        found = audit(predictions=answers("base", 0.5) + answers("tuned", 0.7)[:-3])["different_items"]
        assert found["evidence"] == ["q37", "q38", "q39"]
        assert "tuned lacks 3" in found["effect"]

    def test_different_references(self, audit: Any) -> None:
        changed = answers("tuned", 0.7)
        changed[0]["reference"] = "another text altogether"
        assert audit(predictions=answers("base", 0.5) + changed)["different_items"]["evidence"] == ["q00"]

    def test_constraints_that_the_prompt_states(self, audit: Any) -> None:
        def one(system: str, text: str) -> Rows:
            return [
                {**row, "prompt": row["prompt"] + " Answer in one sentence.", "prediction": text}
                for row in answers(system, 0.5)
            ]

        found = audit(
            predictions=one("base", "It depends. It always did.") + one("tuned", "It depends on age.")
        )
        assert (found["constraint_violated"]["count"], found["constraint_violated"]["n"]) == (40, 40)
        assert "(tuned 0 of 40)" in found["constraint_violated"]["effect"]
        assert "2 sentences, 1 asked for" in found["constraint_violated"]["effect"]

    def test_reruns_of_one_setting(self, audit: Any) -> None:
        again = [
            {
                **row,
                "prediction": row["prediction"] + " again"
                if row["id"] in ("q01", "q02")
                else row["prediction"],
            }
            for row in BOTH[40:]
        ]
        found = audit(predictions=BOTH + again)["rerun_differs"]
        assert (found["evidence"], found["n"]) == (["q01", "q02"], 40)
        other = [{**row, "temperature": 0.5, "do_sample": True} for row in again]
        assert "rerun_differs" not in audit(predictions=BOTH + other)

    def test_a_base_that_is_no_better_than_chance(self, audit: Any) -> None:
        nonsense = [{**row, "prediction": "xyz"} for row in answers("base", 0.5)]
        assert (
            "answers to other questions score"
            in audit(predictions=nonsense + answers("tuned", 0.7))["weak_baseline"]["effect"]
        )

    def test_chance_is_told_in_the_studys_own_metric(self, audit: Any) -> None:
        nonsense = [{**row, "prediction": "xyz"} for row in answers("base", 0.5)]
        own = [{**row, "chrF": 0.5} for row in nonsense + answers("tuned", 0.7)]
        assert "base scores chrf " in audit(predictions=own)["weak_baseline"]["effect"]
        # exact match knows no degrees: an answer in other words is worth no more than one to another question
        strict = [{**row, "exact_match": 0} for row in nonsense + answers("tuned", 0.7)]
        assert "base scores rougeL " in audit(predictions=strict)["weak_baseline"]["effect"]

    def test_a_classifier_below_the_constant_answer(self, audit: Any) -> None:
        def labelled(system: str, right: int) -> Rows:
            truth = ["positive"] * 30 + ["negative"] * 20
            return [
                {
                    "id": str(i),
                    "system": system,
                    "reference": label,
                    "prediction": label if i % 50 < right else "neutral",
                }
                for i, label in enumerate(truth)
            ]

        found = audit(predictions=labelled("base", 25) + labelled("tuned", 45))["weak_baseline"]
        assert "right on 25 of 50 items and the constant answer 'positive' on 30" in found["effect"]
        assert "weak_baseline" not in audit(predictions=labelled("base", 40) + labelled("tuned", 45))

    def test_a_conclusion_that_hangs_on_the_definition_of_bleu(self, audit: Any) -> None:
        # many short exact answers against some long good ones: means over items and over the corpus disagree
        def mixed(system: str, short: bool) -> Rows:
            rows = []
            for i in range(30):
                long = i % 3 == 0
                text = reference(i) + " " + reference(i + 1) if long else "it is so in fact"
                right = long != short
                rows.append(
                    {
                        "id": str(i),
                        "system": system,
                        "reference": text,
                        "prediction": text if right else text[: len(text) // 2],
                    }
                )
            return rows

        found = audit(predictions=mixed("base", True) + mixed("tuned", False))["definition_dependent"]
        assert found["severity"] == "medium"
        assert found["evidence"] == [
            "sacrebleu_corpus",
            "sacrebleu_sentence_mean",
            "nltk_sentence_mean",
            "nltk_corpus",
        ]
        assert "which system is best depends on the definition" in found["effect"]


class TestJudging:
    def test_verdicts_that_fall_out(self, audit: Any) -> None:
        rows = verdicts()
        for i, text in ((0, '"B"'), (2, "<verdict>B"), (4, "cannot say")):
            rows[i]["verdict"] = text
        found = audit(verdicts=rows)["dropped_verdicts"]
        assert (found["evidence"], found["n"]) == (["q00", "q02", "q04"], 40)
        assert "1 cannot be read at all" in found["effect"]

    def test_one_side_always_first(self, audit: Any) -> None:
        found = audit(verdicts=verdicts(first="base"))["fixed_order"]
        assert (found["count"], found["n"]) == (40, 40)
        assert "the judge saw base first" in found["effect"]

    def test_order_seen_in_the_judges_prompt(self, audit: Any) -> None:
        texts = (
            {row["id"]: row["prediction"] for row in BOTH[:40]},
            {row["id"]: row["prediction"] for row in BOTH[40:]},
        )
        rows = [
            {"id": id, "verdict": "AB"[i % 2], "judge_prompt": f"A: {texts[0][id]}\nB: {texts[1][id]}"}
            for i, id in enumerate(texts[0])
        ]
        found = audit(predictions=BOTH, verdicts=rows)
        assert "saw the base first in 40 of 40" in found["fixed_order"]["effect"]
        assert "label_reveals_condition" not in found

    def test_labels_that_say_which_is_which(self, audit: Any) -> None:
        rows = [{**row, "verdict": ("base", "fine-tuned")[i % 2]} for i, row in enumerate(verdicts())]
        found = audit(verdicts=rows)["label_reveals_condition"]
        assert (found["count"], found["n"]) == (40, 40)
        assert "'base', 'fine-tuned'" in found["effect"]

    def test_longer_answers_win(self, audit: Any) -> None:
        rows = [
            {
                "id": str(i),
                "verdict": "AB"[i % 4 > 0],
                "base_answer": "three words here",
                "tuned_answer": "word " * (9 if i % 4 else 1),
            }
            for i in range(40)
        ]
        found = audit(verdicts=rows)["length_bias"]
        assert (found["count"], found["n"], found["severity"]) == (40, 40, "high")
        assert "Tuned won 30 of 30 where it was longer and 0 of 10 where it was shorter" in found["effect"]

    def test_our_own_judges_records(self, audit: Any) -> None:
        rows = [
            {
                "id": f"q{i // 2:02}",
                "order": ("base first", "tuned first")[i % 2],
                "verdict": ("win", "loss")[i // 2 % 2],
                "base_length": 100,
                "tuned_length": (150, 50)[i // 2 % 2],
                "control": "",
            }
            for i in range(40)
        ]
        found = audit(verdicts=[*rows, {**rows[0], "verdict": "unparsed", "control": "self"}])
        assert set(found) == {"length_bias"}
        assert "Tuned won 20 of 20 where it was longer" in found["length_bias"]["effect"]
        one_way = audit(verdicts=[{**row, "order": "base first"} for row in rows])
        assert "saw base first in 40 of 40" in one_way["fixed_order"]["effect"]

    def test_no_column_of_verdicts(self, audit: Any) -> None:
        with pytest.raises(InputError, match=r"no column of verdicts; there are: id, said"):
            audit(verdicts=[{"id": "1", "said": "A"}])


class TestRatings:
    def rated(self, system: str, n: int) -> Rows:
        return [{"id": f"q{i:02}", "system": system, "correctness": 0.5, "coherence": 1} for i in range(n)]

    def test_ratings_of_other_items(self, audit: Any) -> None:
        found = audit(ratings=self.rated("base", 20) + self.rated("tuned", 18))["different_items"]
        assert (found["evidence"], found["n"]) == (["q18", "q19"], 20)

    def test_ratings_without_value(self, audit: Any) -> None:
        rows = self.rated("base", 20) + self.rated("tuned", 20)
        assert audit(ratings=rows) == {}
        rows[3] |= {"correctness": None, "coherence": ""}
        rows[4] |= {"coherence": None}
        assert audit(ratings=rows)["dropped_verdicts"]["evidence"] == ["q03"]


class TestSettings:
    def test_sampling_parameters_without_sampling(self, audit: Any) -> None:
        plan = {
            "sweep": {"do_sample": False, "temperature": [0.2, 0.7], "top_k": 10, "num_beams": 4},
            "other": {"do_sample": True, "top_p": 0.9},
        }
        found = audit(plan=plan)["no_effect_parameter"]
        assert found["evidence"] == ["plan.sweep"]
        assert found["effect"].startswith("set without effect: temperature (in 1), top_k (in 1).")

    def test_settings_that_came_with_the_answers(self, audit: Any) -> None:
        rows = [
            {
                **row,
                "settings": {"do_sample": False, "temperature": 0.7, "num_beams": 1, "length_penalty": 2.0},
            }
            for row in BOTH[:3]
        ]
        found = audit(predictions=rows)["no_effect_parameter"]
        assert (found["evidence"], found["count"]) == (["q00", "q01", "q02"], 3)
        assert "length_penalty" in found["effect"]

    def test_the_same_texts_under_every_temperature(self, audit: Any) -> None:
        rows = [{**row, "system": f"t{t}", "temperature": t} for t in (0.2, 0.7) for row in BOTH[:40]]
        assert "the same text under every value" in audit(predictions=rows)["no_effect_parameter"]["effect"]

    def test_neutral_values_are_no_mistake(self, audit: Any) -> None:
        assert "no_effect_parameter" not in audit(
            plan={"g": {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0}}
        )

    def test_numbers_without_interval(self, audit: Any) -> None:
        plan = {
            "results": {
                "phi": {"bleu": 0.47, "rouge_l": 0.6},
                "llama": {"bleu": 0.1, "bleu_ci": [0.05, 0.15]},
            }
        }
        found = audit(plan=plan)["missing_interval"]
        assert (found["evidence"], found["n"]) == (["results.phi.bleu", "results.phi.rouge_l"], 3)


def test_the_worst_comes_first(tmp_path: Path) -> None:
    rows = [{**row, "prediction": "" if row["id"] == "q04" else row["prediction"]} for row in BOTH]
    known = [
        {"prompt": question(i), "completion": "cut off in the middle of a long answer that has no"}
        for i in range(20)
    ]
    found = audit_files(
        predictions=[written(tmp_path / "p.jsonl", rows)], train=[written(tmp_path / "t.jsonl", known)]
    )["findings"]
    severities = [finding["severity"] for finding in found]
    assert severities == sorted(severities, key=["high", "medium", "low"].index)
    assert found[0]["code"] == "eval_in_train"


def test_a_run_of_our_own() -> None:
    rows = [
        Row(
            id=f"r{i}",
            source_id=f"doc{i // 5}",
            prompt=f"Passage: {reference(i)}\n\nQuestion: {question(i)}",
            completion=reference(i),
            split="train" if i < 30 else "test",
            instruction=question(i),
        )
        for i in range(50)
    ]
    rows[0] = replace(rows[0], instruction=question(31), source_id="doc6")
    predictions = [
        Prediction(
            row.id, row.source_id, system, row.prompt, row.completion[:length], (row.completion,), "ok"
        )
        for system, length in (("base", 20), ("tuned", 60))
        for row in rows[30:]
    ]
    found = {finding.code: finding for finding in audit_study(study_of_run(rows, predictions))}
    assert found["eval_in_train"].evidence == ("r31",)
    assert found["same_group"].evidence == ("r30", "r31", "r32", "r33", "r34")


class TestMistakes:
    def test_nothing_to_look_at(self) -> None:
        with pytest.raises(InputError, match="nothing to audit"):
            audit_files()

    def test_rows_that_are_no_training_rows(self, audit: Any) -> None:
        with pytest.raises(InputError, match="no column looks like a prompt or a target; there are: x"):
            audit(train=[{"x": 1}])

    def test_a_plan_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text("- a\n- b\n")
        with pytest.raises(InputError, match="a plan is a set of named settings"):
            audit_files(plan=tmp_path / "p.yaml")
        (tmp_path / "q.yaml").write_text("a: [1\n")
        with pytest.raises(InputError, match="this is not YAML or JSON"):
            audit_files(plan=tmp_path / "q.yaml")


def test_a_quote_from_the_prompt_is_no_sign_of_memory() -> None:
    from tunesmith.audit.outputs import _is_copy
    from tunesmith.records import Prediction

    answer = "A thermistor is a resistor whose resistance changes with temperature."
    shown = Prediction("1", "d", "tuned", f"Passage:\nBefore.  {answer} After.", answer, (answer,), "ok")
    unseen = Prediction("1", "d", "tuned", "What is a thermistor?", answer, (answer,), "ok")
    assert not _is_copy(shown)
    assert _is_copy(unseen)


class TestEffects:
    def effect(self, audit: Any, **parts: Any) -> str:
        known = [{"id": "t", "prompt": question(3), "completion": "x."}]
        return str(audit(train=training() + known, **parts)["eval_in_train"]["effect"])

    def test_they_are_stated_in_the_studys_own_metric(self, audit: Any) -> None:
        assert " rougeL (" in self.effect(audit, predictions=BOTH)
        assert " bleu (" in self.effect(audit, predictions=BOTH, plan={"results": {"BLEU": 0.2, "low": 0.1}})
        primary = {"compare": {"primary": "token_f1"}, "results": {"bleu": 0.2, "bleu_ci": [0.1, 0.3]}}
        assert " token_f1 (" in self.effect(audit, predictions=BOTH, plan=primary)
        scored = [{**row, "ROUGE-1": 0.5} for row in BOTH]
        assert " rouge1 (" in self.effect(audit, predictions=scored)
        assert " rougeL (" in self.effect(
            audit, predictions=BOTH, plan={"results": {"accuracy": 0.2, "low": 0}}
        )

    def test_labels_are_judged_by_accuracy(self, audit: Any) -> None:
        rows = [{**row, "reference": ("yes", "no")[i % 2]} for i, row in enumerate(answers("tuned", 0.5))]
        rows = [{**row, "prediction": "yes"} for row in rows]
        # 20 of 40 are "yes"; item 3, the one in training, is a "no": 20 of 39 without it
        assert self.effect(audit, predictions=rows).endswith(
            "With them accuracy is 0.500 on 40 items; without them accuracy is 0.513 on 39 items."
        )

    def test_items_that_failed_are_no_part_of_them(self, audit: Any) -> None:
        rows = [{**row, "error": "broke"} if row["id"] == "q09" else row for row in answers("tuned", 0.6)]
        assert "on 39 items; without them" in self.effect(audit, predictions=rows)


def test_failed_items_are_counted_with_their_reasons(audit: Any) -> None:
    def broken(n: int) -> Rows:
        rows = answers("tuned", 0.6)
        return [{**row, "prediction": "", "error": "time out"} for row in rows[:n]] + rows[n:]

    found = audit(predictions=broken(3))
    assert "empty_outputs" not in found
    failed = found["failed_items"]
    assert (failed["count"], failed["n"], failed["severity"]) == (3, 40, "high")
    assert failed["evidence"] == ["q00", "q01", "q02"]
    assert "time out (3); with more than 5 % of the items no verdict can be drawn" in failed["effect"]
    assert audit(predictions=broken(2))["failed_items"]["severity"] == "low"  # 2 of 40 are just 5 %


def test_long_references_are_no_labels_however_few_there_are(audit: Any) -> None:
    texts = ["The pump takes its heat from the air outside.", "The valve stops the flow of the water."]
    rows = [
        {**row, "reference": texts[i % 2], "prediction": texts[0] if i % 3 else "No."}
        for system in ("base", "tuned")
        for i, row in enumerate(answers(system, 0.5))
    ]
    assert "constant answer" not in audit(predictions=rows).get("weak_baseline", {}).get("effect", "")
    short = [
        {**row, "reference": row["reference"][4:9], "prediction": row["prediction"][4:9]} for row in rows
    ]
    assert "constant answer" in audit(predictions=short)["weak_baseline"]["effect"]
