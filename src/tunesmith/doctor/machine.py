"""What this machine and this installation have: versions, devices, memory, disk, optional parts."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

from tunesmith.doctor.check import Check
from tunesmith.errors import MissingError
from tunesmith.models.load import choose_dtype, cpu_multiplies_bfloat16, free_cores
from tunesmith.models.quantised import check_four_bits

GIB = 1 << 30
_HUB = "https://huggingface.co/api/models?limit=1"
_OPTIONAL = {
    "liger_kernel": "liger-kernel: faster training on a GPU",
    "sentence_transformers": "sentence-transformers: not needed to run tunesmith, used in its tests",
}
_LEAST_DISK = 2 * GIB
_LEAST_MEMORY = 2 * GIB


def check_machine(folder: Path, *, online: bool = False) -> list[Check]:
    """The checks that need no plan. The hub is asked only when `online`."""
    checks = [
        Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *_torch(),
        _four_bits(),
        *_packages(),
        _wordnet(),
        _disk(folder),
    ]
    return [*checks, _hub()] if online else checks


def _torch() -> list[Check]:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    checks = [Check("torch", "ok", f"{torch.__version__}, {build}")]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            dtype = str(choose_dtype("auto", torch.device("cuda", index))).removeprefix("torch.")
            words = f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free; dtype auto is {dtype}"
            checks.append(Check("gpu", "ok", words))
    elif torch.backends.mps.is_available():
        checks.append(Check("gpu", "ok", "Apple's, through mps"))
    elif shutil.which("nvidia-smi") and not torch.version.cuda:
        checks.append(
            Check(
                "gpu",
                "note",
                "there is an NVIDIA driver, and this torch is a CPU build",
                "Install a CUDA build of torch to use the GPU.",
            )
        )
    else:
        checks.append(Check("gpu", "note", "none: small models train on the CPU, large ones need one"))
    amx = "bfloat16 in hardware (AMX)" if cpu_multiplies_bfloat16() else "no bfloat16 in hardware: float32"
    checks.append(Check("cpu", "ok", f"{os.cpu_count()} cores, {free_cores()} free now; {amx}"))
    memory = available_memory()
    if memory is not None:
        words = f"{memory / GIB:.1f} GiB available"
        checks.append(Check("memory", "ok" if memory > _LEAST_MEMORY else "note", words))
    return checks


def available_memory() -> int | None:
    """Bytes of memory this process can still get: what the system has, or what its control group leaves; `None` where
    the system does not say."""
    return _least(_meminfo("MemAvailable"), *(limit - used for limit, used in _control_group()))


def total_memory() -> int | None:
    """Bytes of memory of the machine, or of this process's control group where that is less; `None` where the system
    does not say."""
    return _least(_meminfo("MemTotal"), *(limit for limit, _ in _control_group()))


def _least(first: int | None, *others: int) -> int | None:
    return None if first is None else min((first, *others))


def _meminfo(name: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _control_group() -> list[tuple[int, int]]:
    """(limit, used) in bytes, where there is a limit."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return []
    return [(int(limit), int(used))] if limit.isdigit() and used.isdigit() else []


def _four_bits() -> Check:
    from tunesmith.models.load import choose_device

    device = choose_device("auto")
    try:
        check_four_bits(device)
    except MissingError as error:
        return Check(
            "bitsandbytes", "note", f"{error.what}; needed for method: qlora and 8-bit AdamW", error.do
        )
    return Check("bitsandbytes", "ok", f"{metadata.version('bitsandbytes')}, 4 bits work on {device}")


def _packages() -> list[Check]:
    names = ("transformers", "peft", "accelerate")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    checks = [Check("libraries", "ok", versions)]
    there = [name for name in _OPTIONAL if importlib.util.find_spec(name)]
    absent = [_OPTIONAL[name] for name in _OPTIONAL if name not in there]
    words = "all optional parts are there" if not absent else f"not installed: {'; '.join(absent)}"
    return [*checks, Check("extras", "ok", words)]


def _wordnet() -> Check:
    """What METEOR will use, tried: a dictionary that is there may be damaged."""
    from tunesmith.score.wordnet import examine_wordnet

    found = examine_wordnet()
    if found.works:
        return Check("wordnet", "ok", found.words)
    if found.folder is None:
        return Check(
            "wordnet",
            "note",
            "not found: METEOR counts no synonyms",
            "On Debian and Ubuntu: apt install wordnet-base; elsewhere: tunesmith doctor --wordnet FOLDER.",
        )
    return Check("wordnet", "note", found.words)


def _disk(folder: Path) -> Check:
    place = next(one for one in (folder, *folder.resolve().parents) if one.exists())
    free = shutil.disk_usage(place).free
    words = f"{free / GIB:.1f} GiB free at {place}"
    if free < _LEAST_DISK:
        return Check("disk", "note", words, "Models, checkpoints and journals take room.")
    return Check("disk", "ok", words)


def _hub() -> Check:
    import urllib.error
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "0") not in {"", "0"}:
        return Check("hub", "note", "HF_HUB_OFFLINE is set: nothing is fetched")
    try:
        with urllib.request.urlopen(_HUB, timeout=5):
            return Check("hub", "ok", "huggingface.co answers")
    except (urllib.error.URLError, OSError) as error:
        return Check(
            "hub", "note", f"huggingface.co cannot be reached ({error})", "Use local folders, or `builtin`."
        )
