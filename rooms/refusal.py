"""Refusal: the ways in which we say no.

Holds     `Refused`, which a person can do something about, `Impossible`, which nobody can, and
          `CannotGoOn`, which is for whoever runs a process.
Promises  a refusal carries a code for programs and a sentence for people; nothing has changed.
Why       whatever else is raised is our own mistake or an outage: it crashes and is retried.
"""


class Refused(Exception):
    """Say no to a person, with a stable code and a sentence that says what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Impossible(ValueError):
    """A fact from outside that can never be true: it is set aside with this reason."""


def must(true: object, rule: str) -> None:
    """Refuse a fact that breaks ``rule``.

    Raises:
        Impossible: when ``true`` is falsy; works under ``python -O``, as facts come from outside.
    """
    if not true:
        raise Impossible(rule)


class CannotGoOn(Exception):
    """What ends a process and what its operator can do something about, said in one line."""
