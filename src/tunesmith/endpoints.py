"""From what a plan or the command line calls a server of a language model to its address."""

from __future__ import annotations

OLLAMA = "http://127.0.0.1:11434/v1"
"""Where ollama listens."""
SCHEMES = ("http://", "https://")


def address_of(name: str) -> dict[str, str] | None:
    """`{url, model}` of `ollama/NAME`, `{url}` of an http address, `None` for a name that is neither."""
    if name.startswith("ollama/"):
        return {"url": OLLAMA, "model": name.removeprefix("ollama/")}
    return {"url": name} if name.startswith(SCHEMES) else None


def base_address(url: str) -> str:
    """The address that `/chat/completions` is added to. Raises `ValueError` when it is no http address."""
    if not url.startswith(SCHEMES):
        raise ValueError(f"{url!r} is not an http:// or https:// address")
    return url.rstrip("/").removesuffix("/chat/completions")
