"""The words put round a question before a model sees it: one definition for training, for use and for the base model.

A chat template is not added here: that is the task's business (`tunesmith.tasks`), because it belongs to the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.records import Kind


def student_prompt(kind: Kind, instruction: str, context: str | None) -> str:
    """The user's message for one example.

    Args:
        kind: what sort of example it is.
        instruction: the question or instruction.
        context: the passage shown with it (open book), or `None` (closed book). A summary always needs one; of a
            conversation it is what was said before, as `transcript` writes it.
    """
    if kind == "summary":
        if context is None:
            raise ValueError("a summary needs the passage it summarises")
        return f"Summarise the passage in one sentence.\n\nPassage:\n{context}"
    if kind == "question_answer" and context is not None:
        return f"Answer the question from the passage.\n\nPassage:\n{context}\n\nQuestion: {instruction}"
    if kind == "conversation":
        return f"{context}\n\nUser: {instruction}" if context else instruction
    if context is not None:
        return f"{instruction}\n\n{context}"
    return instruction


def transcript(system: str, earlier: Sequence[tuple[str, str]]) -> str | None:
    """What was said before the last message of a conversation, as a text; `None` when nothing was.

    Args:
        system: the system message, or an empty text.
        earlier: (role, text) of the earlier turns, roles `user` and `assistant`.
    """
    parts = [system] if system else []
    parts += [f"{role.capitalize()}: {text}" for role, text in earlier]
    return "\n\n".join(parts) or None
