"""Every family's prompt and answer, token by token: the oracle is transformers' own `apply_chat_template`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.tasks.families import FAMILIES, save_family
from tests.tiny import make_rows
from tunesmith.errors import InputError
from tunesmith.models.load import ComputeOptions
from tunesmith.records import Refused, Row
from tunesmith.tasks.base import IGNORED, Rendered
from tunesmith.tasks.causal import CausalTask
from tunesmith.tasks.templates import PLAIN_TEMPLATE, TemplateOptions, without_thoughts

COMPUTE = ComputeOptions(dtype="float32", device="cpu")
WITH_TEMPLATE = [name for name, family in FAMILIES.items() if family.template]
THOUGHT = "<think>\npumps move heat\n</think>\n\n"
Open = Callable[..., CausalTask]


@pytest.fixture(scope="module")
def open_family(tmp_path_factory: pytest.TempPathFactory) -> Open:
    folders = {name: save_family(tmp_path_factory.mktemp(name), family) for name, family in FAMILIES.items()}

    def open_one(name: str, **options: Any) -> CausalTask:
        return CausalTask.open(str(folders[name]), COMPUTE, template=TemplateOptions(**options))

    return open_one


def row_with(prompt: str, completion: str) -> Row:
    return Row(id="r", source_id="s", prompt=prompt, completion=completion, split="train")


def rendered(task: CausalTask, row: Row) -> Rendered:
    result = task.render(row)
    assert isinstance(result, Rendered)
    return result


def by_transformers(task: CausalTask, turns: list[dict[str, str]], **told: Any) -> list[int]:
    return list(task.tokenizer.apply_chat_template(turns, **told)["input_ids"])


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def check_against_transformers(
    task: CausalTask, row: Row, turns: list[dict[str, str]], **told: Any
) -> Rendered:
    """Prompt and answer are what transformers makes of the whole conversation, up to the token that ends the answer."""
    result = rendered(task, row)
    assert list(result.input_ids[: result.n_prompt]) == by_transformers(
        task, turns, add_generation_prompt=True, **told
    )
    whole = by_transformers(task, [*turns, assistant(row.completion)], **told)
    assert list(result.input_ids) == whole[: len(result.input_ids)]
    # What the template writes after the end token (a newline, another end token) cannot be reached in use.
    rest = task.tokenizer.decode(whole[len(result.input_ids) :], skip_special_tokens=True)
    assert not rest.strip()
    assert set(result.labels[: result.n_prompt]) == {IGNORED}
    assert result.labels[result.n_prompt :] == result.input_ids[result.n_prompt :]
    return result


@pytest.mark.parametrize("name", [name for name in WITH_TEMPLATE if name != "reasoner"])
def test_prompt_and_answer_are_the_template_s_own(open_family: Open, name: str) -> None:
    task = open_family(name)
    end = task.tokenizer.convert_tokens_to_ids(FAMILIES[name].end_of_turn or FAMILIES[name].eos)
    rows = [
        *make_rows(12),
        row_with("[x]: 12 °C?", "Warm-ish; 12 °C."),
        row_with("  two\n\nlines ", "one\ntwo"),
    ]
    told = task.template.arguments  # Llama's date, so that it is the same on both sides
    for row in rows:
        result = check_against_transformers(task, row, [user(row.prompt)], **told)
        assert result.input_ids[-1] == end
        assert end in task.stop_ids
        used = task.render_prompt(row, room=8)
        assert isinstance(used, Rendered)
        assert used.input_ids == result.input_ids[: result.n_prompt]
        bos = task.tokenizer.bos_token_id
        if bos is not None and "bos_token" in str(FAMILIES[name].template):
            assert result.input_ids.count(bos) == 1
            assert result.input_ids[0] == bos


CHAT = ({"role": "system", "content": "Be brief."}, user("what moves heat?"), assistant("a pump"))
"""Turns before the last question."""


def chat_row(*earlier: dict[str, str]) -> Row:
    return dataclasses.replace(
        row_with("told as a text", "warm air"),
        instruction="and what else?",
        earlier=earlier,
        kind="conversation",
    )


@pytest.mark.parametrize("name", [name for name in WITH_TEMPLATE if name != "reasoner"])
def test_earlier_turns_are_turns_of_the_template(open_family: Open, name: str) -> None:
    task = open_family(name)
    told = task.template.arguments
    said = [*CHAT[1:], user("and what else?")]
    check_against_transformers(task, chat_row(*CHAT[1:]), said, **told)
    with_system = (
        [CHAT[0], *said]
        if task.template._has_system_turn
        else [user(f"Be brief.\n\n{said[0]['content']}"), *said[1:]]
    )
    check_against_transformers(task, chat_row(*CHAT), with_system, **told)


def test_only_the_last_answer_of_a_conversation_is_learnt(open_family: Open) -> None:
    task = open_family("chatml", system_prompt="Be long.")
    assert task.pieces(rendered(task, chat_row(*CHAT))) == (
        (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nwhat moves heat?<|im_end|>\n"
            "<|im_start|>assistant\na pump<|im_end|>\n<|im_start|>user\nand what else?<|im_end|>\n"
            "<|im_start|>assistant\n",
            False,
        ),
        ("warm air<|im_end|>", True),
    )
    # a document cannot end a turn there either
    wicked = chat_row(user("a<|im_end|>"), assistant("b<|im_end|>"))
    assert task.pieces(rendered(task, wicked))[0][0].count("<|im_end|>") == 4
    plain = open_family("plain")
    text = plain.pieces(rendered(plain, chat_row(*CHAT)))[0][0]
    assert text == "<s>" + PLAIN_TEMPLATE.format(prompt="told as a text")


def test_of_a_long_conversation_the_first_turns_go_first(open_family: Open) -> None:
    whole = open_family("chatml")
    long = chat_row(CHAT[0], user("first " * 30), assistant("one"), user("second"), assistant("two"))
    short = rendered(whole, chat_row(CHAT[0], user("second"), assistant("two")))
    length = len(rendered(whole, long).input_ids)
    cut = dataclasses.replace(whole, max_length=len(short.input_ids) + 3, truncate="prompt_left")
    result = rendered(cut, long)
    assert result.input_ids == short.input_ids
    assert result.n_cut == length - len(short.input_ids)
    tight = dataclasses.replace(cut, max_length=len(rendered(whole, chat_row(CHAT[0])).input_ids) - 2)
    result = rendered(tight, long)
    assert len(result.input_ids) <= tight.max_length
    assert "Be brief." in tight.pieces(result)[0][0]
    assert result.n_cut == length - len(result.input_ids)
    refusing = dataclasses.replace(cut, truncate="refuse")
    assert isinstance(refusing.render(long), Refused)


def test_masks_by_hand(open_family: Open) -> None:
    """What is learnt, written out for each family."""
    row = row_with("what?", "warm air")
    expected = {
        "chatml": ("<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n", "warm air<|im_end|>"),
        "qwen3": (
            "<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n",
            "<think>\n\n</think>\n\nwarm air<|im_end|>",
        ),
        "llama3": (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday: 26 Jul 2024\n\n<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nwhat?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "warm air<|eot_id|>",
        ),
        "gemma": (
            "<bos><start_of_turn>user\nwhat?<end_of_turn>\n<start_of_turn>model\n",
            "warm air<end_of_turn>",
        ),
        "phi": ("<|user|>\nwhat?<|end|>\n<|assistant|>\n", "warm air<|end|>"),
        "zephyr": ("<|user|>\nwhat?</s>\n<|assistant|>\n", "warm air</s>"),
        "plain": ("<s>" + PLAIN_TEMPLATE.format(prompt="what?"), "warm air</s>"),
    }
    for name, (prompt, answer) in expected.items():
        task = open_family(name)
        assert task.pieces(rendered(task, row)) == ((prompt, False), (answer, True)), name
    mistral = open_family("mistral")
    asked, learnt = mistral.pieces(rendered(mistral, row))
    assert (asked[0].replace(" ", ""), asked[1]) == ("<s>[INST]what?[/INST]", False)
    assert (learnt[0].strip(), learnt[1]) == ("warm air</s>", True)


@pytest.mark.parametrize("name", ["chatml", "qwen3", "llama3", "phi", "zephyr", "mistral"])
def test_system_prompt_has_a_turn_of_its_own(open_family: Open, name: str) -> None:
    task = open_family(name, system_prompt="Answer in one word.")
    row = make_rows(1)[0]
    turns = [{"role": "system", "content": "Answer in one word."}, user(row.prompt)]
    check_against_transformers(task, row, turns, **task.template.arguments)


def test_system_prompt_heads_the_message_where_there_is_no_system_turn(open_family: Open) -> None:
    row = make_rows(1)[0]
    task = open_family("gemma", system_prompt="Answer in one word.")
    check_against_transformers(task, row, [user(f"Answer in one word.\n\n{row.prompt}")])
    plain = open_family("plain", system_prompt="Answer in one word.")
    assert plain.pieces(rendered(plain, row))[0][0] == (
        f"<s>Answer in one word.\n\n### Instruction:\n{row.prompt}\n\n### Response:\n"
    )


def test_the_date_is_the_same_in_training_and_in_use(open_family: Open) -> None:
    task = open_family("llama3")
    fixed = by_transformers(task, [user("what?")], add_generation_prompt=True, date_string="26 Jul 2024")
    assert list(rendered(task, row_with("what?", "air")).input_ids[: len(fixed)]) == fixed


@pytest.mark.parametrize("name", FAMILIES)
def test_one_beginning_at_most_and_one_end_whatever_a_text_says(open_family: Open, name: str) -> None:
    """A document and an answer write the family's own control tokens out: none of them counts as one."""
    task, family = open_family(name), FAMILIES[name]
    written = " ".join(text for text in (family.bos, family.eos, family.end_of_turn) if text)
    bos = task.tokenizer.bos_token_id
    # the template writes it, or the tokenizer does where there is no template
    begins = bos is not None and ("bos_token" in str(family.template) or family.template is None)
    for row in (row_with("what?", "warm air"), row_with(f"what is {written}?", f"{written} are signs")):
        result = rendered(task, row)
        assert [id == bos for id in result.input_ids].count(True) == int(begins)
        assert (result.input_ids[0] == bos) == begins
        assert [id in task.stop_ids for id in result.labels].count(True) == 1
        assert result.labels[-1] in task.stop_ids


class TestThinking:
    row = row_with("what?", f"{THOUGHT}warm air")

    def test_keep(self, open_family: Open) -> None:
        task = open_family("qwen3", thinking="keep")
        result = check_against_transformers(task, self.row, [user("what?")])
        assert task.pieces(result)[1] == (f"{THOUGHT}warm air<|im_end|>", True)
        assert task.decode(result.input_ids[result.n_prompt :]) == f"{THOUGHT}warm air"
        empty = rendered(task, row_with("what?", "warm air"))
        assert task.decode(empty.input_ids[empty.n_prompt :]) == "warm air"

    def test_strip(self, open_family: Open) -> None:
        task = open_family("qwen3", thinking="strip")
        plain = row_with("what?", "warm air")
        assert rendered(task, self.row).input_ids == rendered(task, plain).input_ids
        check_against_transformers(task, plain, [user("what?")])
        thought = open_family("qwen3").tokenizer(f"{THOUGHT}warm air")["input_ids"]
        assert task.decode(thought) == "warm air"

    def test_off(self, open_family: Open) -> None:
        task = open_family("qwen3", thinking="off")
        plain = row_with("what?", "warm air")
        result = check_against_transformers(task, plain, [user("what?")], enable_thinking=False)
        assert task.pieces(result) == (
            (
                "<|im_start|>user\nwhat?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
                False,
            ),
            ("warm air<|im_end|>", True),
        )
        assert rendered(task, self.row).input_ids == result.input_ids
        used = task.render_prompt(self.row, room=8)
        assert isinstance(used, Rendered)
        assert used.input_ids == result.input_ids[: result.n_prompt]

    @pytest.mark.parametrize(
        ("thinking", "prompt_end", "learnt"),
        [
            ("keep", "<|Assistant|><think>\n", "pumps move heat\n</think>\n\nwarm air<|end|>"),
            ("strip", "<|Assistant|><think>\n", "\n</think>\n\nwarm air<|end|>"),
            ("off", "<|Assistant|><think>\n\n</think>\n\n", "warm air<|end|>"),
        ],
    )
    def test_a_prompt_that_opens_a_thought(
        self, open_family: Open, thinking: str, prompt_end: str, learnt: str
    ) -> None:
        task = open_family("reasoner", thinking=thinking)
        prompt, answer = task.pieces(rendered(task, self.row))
        assert prompt == (f"<|first|><|User|>what?{prompt_end}", False)
        assert answer == (learnt, True)

    @pytest.mark.parametrize(
        ("thinking", "expected"),
        [
            ("keep", (f"{THOUGHT}warm air", "heat")),
            ("strip", ("warm air", "heat")),
            ("off", ("warm air", "heat")),
        ],
    )
    def test_references_lose_their_thoughts_where_answers_do(
        self, open_family: Open, thinking: str, expected: tuple[str, ...]
    ) -> None:
        row = dataclasses.replace(self.row, other_references=("heat",))
        assert open_family("qwen3", thinking=thinking).references(row) == expected

    @pytest.mark.parametrize("name", ["chatml", "gemma", "plain"])
    def test_off_is_refused_where_it_has_no_effect(self, open_family: Open, name: str) -> None:
        with pytest.raises(InputError, match="cannot be told not to think"):
            open_family(name, thinking="off")

    def test_tags_are_text_for_a_template_that_knows_none(self, open_family: Open) -> None:
        task = open_family("chatml")
        check_against_transformers(task, self.row, [user("what?")])
        stripped = open_family("chatml", thinking="strip")
        assert stripped.pieces(rendered(stripped, self.row))[1] == ("warm air<|im_end|>", True)

    @pytest.mark.parametrize(
        ("written", "seen"),
        [
            ("<think>a</think>b", "b"),
            ("a</think>\n\nb", "b"),
            ("<think>a, cut off", ""),
            ("<think>a</think>b<think>c</think>d", "bd"),
            ("b", "b"),
        ],
    )
    def test_without_thoughts(self, written: str, seen: str) -> None:
        assert without_thoughts(written) == seen


def test_added_tokens_are_one_token_each(open_family: Open) -> None:
    task = open_family("chatml", added_tokens=["<sep>", "degC"])
    new = [task.tokenizer.convert_tokens_to_ids(token) for token in ("<sep>", "degC")]
    result = rendered(task, row_with("12 degC?", "cold<sep>12 degC"))
    assert [result.labels.count(token) for token in new] == [1, 1]
    assert task.decode(result.input_ids[result.n_prompt :]) == "cold<sep>12 degC"
    with pytest.raises(InputError, match="the vocabulary has 'h' already"):
        open_family("chatml", added_tokens=["h"])
    with pytest.raises(InputError, match="Take ASCII letters"):
        open_family("chatml", added_tokens=["°C"])


def test_options_of_the_template_show_in_its_hash(open_family: Open) -> None:
    hashes = {
        open_family("qwen3", **options).template_sha256
        for options in ({}, {"thinking": "strip"}, {"thinking": "off"}, {"system_prompt": "x"})
    }
    assert len(hashes) == 4
