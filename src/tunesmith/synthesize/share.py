"""Questions without an answer, held to their share of all questions."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from tunesmith.records import Example, Refused

CHECK = "unanswerable_share"


def n_unanswerable(passage_id: str, per_chunk: int, share: float) -> int:
    """How many questions without an answer a passage is asked for: on average their share comes out right.

    Args:
        passage_id: decides between the two nearest whole numbers.
        per_chunk: questions with an answer that it is asked for.
        share: of all questions, at least 0 and below 1.
    """
    wanted = per_chunk * share / (1 - share)
    digest = hashlib.blake2b(passage_id.encode(), digest_size=7).digest()
    return int(wanted) + (int.from_bytes(digest) / 256**7 < wanted % 1)


def hold_to_share(
    drafts: Iterable[Example | Refused], share: float, refuse: Callable[[Example, str, str], Refused]
) -> Iterator[Example | Refused]:
    """The drafts, with questions that have no answer let out only as far as their share of the questions allows.

    A surplus waits for further questions; what waits at the end is refused.

    Args:
        drafts: those that passed all checks, and the refused ones.
        share: of the kept questions, at least 0 and below 1; with 0 every draft goes through.
        refuse: makes a refusal of example, check and reason.
    """
    if share == 0:
        yield from drafts
        return
    waiting: deque[Example] = deque()
    n_answered = n_unanswerable = 0
    for draft in drafts:
        if isinstance(draft, Refused) or draft.kind != "question_answer":
            yield draft
            continue
        if draft.attributes.get("answerable") == "no":
            waiting.append(draft)
        else:
            yield draft
            n_answered += 1
        # n / (n + answered) <= share, without dividing
        while waiting and (n_unanswerable + 1) * (1 - share) <= share * n_answered:
            n_unanswerable += 1
            yield waiting.popleft()
    for draft in waiting:
        yield refuse(
            draft, CHECK, f"{n_unanswerable} of {n_unanswerable + n_answered} are {share:.0%} already"
        )
