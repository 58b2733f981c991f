"""Put a trained model into the package: weights, tokenizer, template, and the hash the loader checks.

    python install.py --package src/tunesmith/models/builtin

With `--from-checkpoint` the current checkpoint of a run still going is taken; without it, the finished model.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path

import torch
from model import Decoder, Shape, export


def install(work: Path, package: Path, from_checkpoint: bool) -> str:
    """Copy everything, then write the hash of the weights into the loader; returns the hash."""
    source = work / "run" / "final"
    if from_checkpoint:
        saved = torch.load(work / "run" / "checkpoint.pt", weights_only=True)
        source = work / "run" / "snapshot"
        export(Decoder(Shape()), saved["optimiser"]["masters"], source)
    base = package / "base"
    base.mkdir(parents=True, exist_ok=True)
    for file in [*source.iterdir(), *(work / "tokenizer").iterdir()]:
        shutil.copyfile(file, base / (file.name + ".part"))
        (base / (file.name + ".part")).replace(base / file.name)
    digest = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
    loader = package / "__init__.py"
    written = re.sub(
        r'^BASE_SHA256 = ".*"$', f'BASE_SHA256 = "{digest}"', loader.read_text(encoding="utf-8"), flags=re.M
    )
    loader.write_text(written, encoding="utf-8")
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/pretrain_builtin"))
    parser.add_argument("--package", type=Path, default=Path("src/tunesmith/models/builtin"))
    parser.add_argument("--from-checkpoint", action="store_true")
    options = parser.parse_args()
    print(install(options.work, options.package, options.from_checkpoint))


if __name__ == "__main__":
    main()
