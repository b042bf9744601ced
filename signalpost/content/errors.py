"""What can be wrong with a message folder, and with one person's message."""

from collections.abc import Sequence
from dataclasses import dataclass

from signalpost.errors import ConfigurationError, PermanentError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a message folder: where, what, and what to do."""

    file: str
    line: int
    rule: str
    says: str
    remedy: str

    @property
    def advice(self) -> str:
        """What to do, as a sentence of its own."""
        sentence = self.remedy[:1].upper() + self.remedy[1:]
        return sentence if sentence.endswith(("?", ".")) else f"{sentence}."

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: [{self.rule}] {self.says}. {self.advice}"


class ContentError(ConfigurationError):
    """A message folder is wrong; ``problems`` lists everything that was found."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, problems)))


class MissingFact(PermanentError):  # noqa: N818  named by what happened to one person's message
    """A fact that the message must show is missing or not of its type; concerns one person."""

    def __init__(self, fact: str, *, bad: bool = False, expected: str = "") -> None:
        self.fact = fact
        self.expected = expected  #: the form that it has to have, with the folder's own sample
        self.reason = f"{'bad_fact' if bad else 'missing_fact'}:{fact}"
        super().__init__(
            f"The fact {fact!r} is not of its declared type{f' ({expected})' if expected else ''}; "
            "correct the event that brings it."
            if bad
            else f"The fact {fact!r} is missing; the event must bring it, or the template must "
            "have a fallback for it."
        )


class RenderFailed(PermanentError):  # noqa: N818  named by what happened to one person's message
    """A template broke on one person's values; the text names the place, never the values."""

    reason = "render_failed"

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__(f"{where} could not be rendered ({type(error).__name__}).")
