"""What there is to hold the promises of the story against: the record, and the post office's log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from signalpost.demo.crowd import Crowd
from signalpost.demo.director import Scene
from signalpost.demo.people import CAST, Person
from signalpost.record.messages import Message
from signalpost.services.reading.entries import Entry

Rule = Callable[["Evidence"], Any]  #: answers True, or what it found instead


@dataclass(frozen=True)
class Evidence:
    """Everything there is to hold the promises against."""

    scene: Scene
    crowd: Crowd

    @cached_property
    def messages(self) -> Sequence[Message]:
        """Every message on the record."""
        return self.scene.reading.all_messages()

    @cached_property
    def _timelines(self) -> dict[str, Sequence[Entry]]:
        return {one.user_id: self.scene.reading.timeline(one) for one in CAST}

    def entries(self, person: Person, kind: str) -> list[Entry]:
        """Give the entries of one kind of a person's timeline."""
        return [one for one in self._timelines[person.user_id] if one.kind == kind]

    def sent(self, person: Person, name: str) -> list[Entry]:
        """Give the messages of one name that went to a person and arrived or were handed over."""
        return [
            one
            for one in self.entries(person, "message")
            if one.says.startswith(f"{name} by ") and one.detail["status"] != "bounced"
        ]

    def channels(self, person: Person, name: str) -> list[str]:
        """Give the channels by which a message went to a person, in order of the alphabet."""
        return sorted(one.channel or "" for one in self.sent(person, name))

    def says(self, person: Person, kind: str, *words: str) -> bool:
        """Whether an entry of that kind holds all of the words."""
        return any(all(word in one.says for word in words) for one in self.entries(person, kind))

    def outcomes(self, person: Person, subject: str, outcome: str) -> list[str]:
        """Give the reasons of the gate's decisions on one message."""
        return [
            one.detail["reason"]
            for one in self.entries(person, "decision")
            if one.detail.get("outcome") == outcome and subject in one.says
        ]

    def in_texts(self, person: Person, words: str) -> bool:
        """Whether a text that the post office delivered to them holds the words."""
        return any(words in text for text in self.scene.post.texts_to(person))

    def in_mails(self, person: Person, words: str) -> bool:
        """Whether a mail that the post office delivered to them holds the words."""
        return any(words in mail["text"] for mail in self.scene.post.mails_to(person))
