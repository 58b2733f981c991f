"""A model's name leads to its folder, or to one clear message."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tunesmith.errors import InputError, MissingError
from tunesmith.models import load


@pytest.fixture
def copied(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "model"))


def test_a_folder_gives_model_and_tokenizer(tiny_base: Path) -> None:
    import torch

    model = load.load_model(str(tiny_base), dtype="float32", device="cpu")
    assert model.dtype == torch.float32
    assert not model.training
    assert load.load_tokenizer(str(tiny_base)).eos_token == "<|end|>"
    assert load.load_model(str(tiny_base), dtype="bfloat16", device="cpu").dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (["config.json"], "no config.json"),
        (["model.safetensors"], "no weights"),
        (["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"], "tokenizer"),
    ],
)
def test_what_a_folder_lacks_is_named(copied: Path, broken: list[str], message: str) -> None:
    for name in broken:
        (copied / name).unlink()
    with pytest.raises(MissingError, match=message) as caught:
        load.load_tokenizer(str(copied))
    assert caught.value.exit_code == 4
    assert str(copied) in str(caught.value)
    assert caught.value.do


def test_pickled_weights_are_not_read(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(MissingError, match=r"only there as pickle \(pytorch_model.bin\)"):
        load.load_model(str(copied))


def test_an_adapter_is_not_a_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(MissingError, match="an adapter, not a model"):
        load.model_folder(str(tmp_path))


def test_missing_folder_and_unreachable_hub(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such model folder"):
        load.model_folder(str(tmp_path / "nowhere"))
    with pytest.raises(MissingError, match="the hub cannot be reached"):
        load.model_folder("nobody/no-such-model")  # the tests run with HF_HUB_OFFLINE=1


def test_damaged_and_incomplete_weights(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = copied / "model.safetensors"
    tensors = load_file(weights)
    removed = "model.layers.1.mlp.up_proj.weight"
    save_file({name: part for name, part in tensors.items() if name != removed}, weights, {"format": "pt"})
    with pytest.raises(InputError, match=f"lack 1 of the model's tensors, the first is {removed}"):
        load.load_model(str(copied))
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(InputError, match="damaged"):
        load.load_model(str(copied))


def test_code_that_comes_with_a_model_is_not_run(copied: Path) -> None:
    config = (copied / "config.json").read_text(encoding="utf-8")
    own_code = '"model_type": "strange", "auto_map": {"AutoConfig": "evil.Config"}'
    config = config.replace('"model_type": "llama"', own_code)
    (copied / "config.json").write_text(config, encoding="utf-8")
    (copied / "evil.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    with pytest.raises(MissingError, match="brings its own Python code"):
        load.load_model(str(copied))


def test_hash_of_weights_follows_the_file(tmp_path: Path) -> None:
    one = tmp_path / "model.safetensors"
    one.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert load.weights_sha256(tmp_path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    one.write_bytes(b"abd")
    os.utime(one, ns=(1, 1))
    assert load.weights_sha256(tmp_path) == hashlib.sha256(b"abd").hexdigest()
    (tmp_path / "second.safetensors").write_bytes(b"")
    both = load.weights_sha256(tmp_path)
    (tmp_path / "second.safetensors").rename(tmp_path / "third.safetensors")
    assert load.weights_sha256(tmp_path) != both
    with pytest.raises(MissingError):
        load.weights_sha256(tmp_path / "empty")


def test_unknown_device_is_named() -> None:
    with pytest.raises(MissingError, match="quantum"):
        load.choose_device("quantum")


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        assert load.set_threads(2) == torch.get_num_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert load.set_threads(None) == torch.get_num_threads() == 1
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 100.0, 100.0))
        assert load.set_threads(None) == 1
        monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
        assert load.free_cores() == len(os.sched_getaffinity(0))
    finally:
        torch.set_num_threads(before)
