"""Replies: what customers write to us; kept once, understood, and acted on in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.delivery import Inbound
from signalpost.domain.replies import Meaning, Reply, classify
from signalpost.record import cases, customers, questions, replies
from signalpost.record.base import new_id
from signalpost.services import forgotten
from signalpost.services.desk import Desk
from signalpost.services.inbound import answers, optouts
from signalpost.services.inbound.phrases import phrase

#: The meaning of a reply whose code belongs to no open case, as the record says it.
WRONG_CODE = "wrong_code"
#: We ask what somebody meant at most so often for one question; then a person may look.
MOST_CLARIFICATIONS = 2
_SHARED = "several customers share this address, and nothing tells which of them wrote"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a reply."""

    meaning: str
    reply_id: str | None = None  #: None: it was on the record already
    answer: str | None = None  #: what to say back at once
    woke: bool = False  #: an enrolment waited for it and is due now


@dataclass(frozen=True)
class _Sender:
    """Who may have written, and what they were asked."""

    roots: Sequence[str]
    open: Sequence[RowMapping] = ()
    locales: Mapping[str, str | None] = field(default_factory=dict)
    latest: str | None = None  #: of several, the one we wrote to last at this address

    def asked(self, kind: str) -> list[RowMapping]:
        """Give the open questions of a kind, oldest first."""
        return [one for one in self.open if one["kind"] == kind]

    @property
    def likely(self) -> str | None:
        """The one who wrote, as far as the address, our questions and our last message tell."""
        asked = {one["root_id"] for one in self.open}
        if len(self.roots) == 1 or len(asked) == 1:
            return next(iter(asked or self.roots))
        return self.latest


@dataclass
class _Turn:
    """One reply being worked on."""

    session: Session
    inbound: Inbound
    sender: _Sender
    reading: Reply
    question: RowMapping | None
    brand: Mapping[str, str]
    now: datetime

    @property
    def root(self) -> str | None:
        """The customer the reply is recorded under."""
        return self.question["root_id"] if self.question else self.sender.likely

    @property
    def too_late(self) -> bool:
        """Whether it names a case that is closed: that never answers another one."""
        return self.question is not None and self.question["closed_at"] is not None

    @property
    def meaning(self) -> str:
        """What the record says it means."""
        return WRONG_CODE if self.reading.wrong_code else self.reading.meaning.value

    @property
    def word(self) -> optouts.Word:
        """The reply as a STOP or START: of everybody at that address."""
        return optouts.Word(
            channel=self.inbound.channel.value,
            address=self.inbound.sender,
            customer_ids=self.sender.roots,
            wording=self.inbound.body,
            source=self.inbound.provider,
        )

    def say(self, name: str, **values: Any) -> str:
        """Give a phrase in the sender's language."""
        locale = self.sender.locales.get(self.root or "")
        return phrase(name, locale, brand=self.brand.get("name", ""), **values)


def take(session: Session, *, inbound: Inbound, desk: Desk, now: datetime) -> Taken:
    """Keep a reply and do what it asks for; a repeat of it does nothing and is not answered."""
    sender = _sender(session, inbound)
    if replies.seen(session, provider_id=inbound.provider_id):
        return Taken(meaning="repeat")
    if not sender.roots:
        inbound = _forget(session, inbound, desk, now)
    reading = _read(inbound, sender)
    turn = _Turn(
        session=session,
        inbound=inbound,
        sender=sender,
        reading=reading,
        question=_question(session, reading, sender),
        brand=desk.catalogue.brand,
        now=now,
    )
    text = _text(turn)
    reply_id = _keep(turn, text)
    if reply_id is None:
        return Taken(meaning="repeat")
    woke = _act(turn, text)
    return Taken(meaning=turn.meaning, reply_id=reply_id, answer=text, woke=woke)


def _forget(session: Session, inbound: Inbound, desk: Desk, now: datetime) -> Inbound:
    """Leave out who wrote, and what, when it is somebody who was erased; their STOP still holds."""
    fingerprints = desk.forgetting.fingerprints
    if not forgotten.known(session, fingerprints=fingerprints, addresses=[inbound.sender]):
        return inbound
    if classify(inbound.body, locale=None).meaning is Meaning.STOP:
        stopped = (inbound.channel.value, inbound.sender, "all", optouts.STOP)
        forgotten.remember(
            session,
            fingerprints=fingerprints,
            addresses=[inbound.sender],
            in_force=[stopped],
            now=now,
        )
    return replace(inbound, sender="", body="", raw={})


def _sender(session: Session, inbound: Inbound) -> _Sender:
    """Find who may have written; they are held until the transaction ends."""
    channel = inbound.channel.value
    roots = replies.people_at(session, channel=channel, address=inbound.sender)
    if not roots:
        return _Sender(roots=())
    customers.lock_customers(session, roots)
    asked = questions.open_now(session, roots=roots)
    latest = replies.last_messages(session, channel=channel, address=inbound.sender, roots=roots)
    who = customers.profiles(session, roots)
    return _Sender(
        roots=roots,
        open=sorted(
            (one for theirs in asked.values() for one in theirs), key=lambda one: one["asked_at"]
        ),
        locales={root: who[root]["locale"] for root in roots if root in who},
        latest=max(latest, key=lambda root: latest[root]) if latest else None,
    )


def _read(inbound: Inbound, sender: _Sender) -> Reply:
    """Understand a reply in the light of what is open."""
    confirms, scales = sender.asked("confirm"), sender.asked("scale")
    newest = sender.open[-1] if sender.open else None
    return classify(
        inbound.body,
        locale=_locale(sender, newest),
        open_codes=[one["code"] for one in confirms],
        expects="scale" if scales else "confirm" if confirms else None,
        scale=(scales[-1]["low"], scales[-1]["high"]) if scales else (1, 5),
    )


def _locale(sender: _Sender, newest: RowMapping | None) -> str | None:
    root = newest["root_id"] if newest else sender.likely
    return sender.locales.get(root or "")


def _question(session: Session, reading: Reply, sender: _Sender) -> RowMapping | None:
    """Give the question that a reply answers, fails to answer, or is too late for."""
    confirms, scales = sender.asked("confirm"), sender.asked("scale")
    if reading.meaning is Meaning.SCORE:
        return scales[-1] if scales else None
    if reading.wrong_code and reading.code:
        closed = replies.closed_question(session, roots=sender.roots, code=reading.code)
        return closed or (confirms[-1] if confirms else None)
    if reading.meaning in (Meaning.YES, Meaning.NO):
        named = [one for one in confirms if one["code"] == reading.code]
        return named[0] if len(named) == 1 else None
    if reading.meaning is Meaning.AMBIGUOUS:
        return next(iter([*confirms[-1:], *scales[-1:]]), None)
    return None


def _text(turn: _Turn) -> str | None:
    """Say what to answer at once. Answered by the provider already: nothing more from us."""
    meaning = turn.reading.meaning
    if meaning in (Meaning.STOP, Meaning.START, Meaning.HELP):
        return None if turn.inbound.answered_by_provider else _keyword_text(turn)
    if turn.question is None or _stopped(turn):
        return None
    if turn.too_late:
        return turn.say("closed")
    return _clarification(turn, turn.question) if meaning is Meaning.AMBIGUOUS else None


def _stopped(turn: _Turn) -> bool:
    """Whether the address said STOP: then it hears from us only when it asks for help."""
    block = turn.word.block
    held = optouts.in_force(turn.session, [block.address])
    return (block.channel, block.address, block.scope, block.reason) in held


def _keyword_text(turn: _Turn) -> str | None:
    """Answer STOP and START once; HELP always, also to those who opted out (CTIA)."""
    if turn.reading.meaning is Meaning.HELP:
        phone = turn.brand.get("support_phone", "")
        return turn.say("help", help=f" {phone}" if phone else "")
    if turn.reading.meaning is Meaning.STOP:
        return None if _stopped(turn) else turn.say("stopped")
    return turn.say("started") if _stopped(turn) else None


def _clarification(turn: _Turn, question: RowMapping) -> str | None:
    before = replies.count_meanings(
        turn.session, question_id=question["id"], meanings=(Meaning.AMBIGUOUS.value, WRONG_CODE)
    )
    if before >= MOST_CLARIFICATIONS:
        return None
    if question["kind"] == "scale":
        return turn.say("scale", low=question["low"], high=question["high"])
    codes = [one["code"] for one in turn.sender.asked("confirm")]
    name = "which" if len(codes) == 1 else "which_of_several"
    return turn.say(name, code=", ".join(codes))


def _keep(turn: _Turn, text: str | None) -> str | None:
    """Write the reply with what we took it to mean; None when it is there already."""
    inbound, reading = turn.inbound, turn.reading
    ours: dict[str, Any] = {"answered": text} if text else {}
    if turn.root is None and len(turn.sender.roots) > 1:
        ours["note"] = _SHARED
    reply_id = new_id()
    new = replies.add(
        turn.session,
        row={
            "id": reply_id,
            "provider": inbound.provider,
            "provider_id": inbound.provider_id,
            "customer_id": turn.root,
            "question_id": turn.question["id"] if turn.question else None,
            "channel": inbound.channel.value,
            "sender": inbound.sender,
            "recipient": inbound.recipient,
            "body": inbound.body,
            "meaning": turn.meaning,
            "value": str(reading.value) if reading.value is not None else reading.code,
            "raw": {**inbound.raw, **({"signalpost": ours} if ours else {})},
            "at": inbound.at,
            "received_at": turn.now,
        },
    )
    return reply_id if new else None


def _act(turn: _Turn, text: str | None) -> bool:
    """Do what the reply asks for; gives whether an enrolment woke."""
    meaning = turn.reading.meaning
    if meaning is Meaning.STOP:
        optouts.stop(turn.session, word=turn.word, now=turn.now)
    elif meaning is Meaning.START:
        optouts.start(turn.session, word=turn.word, now=turn.now)
    elif meaning in (Meaning.YES, Meaning.NO, Meaning.SCORE) and turn.question is not None:
        return _answer(turn, turn.question)
    elif meaning is Meaning.AMBIGUOUS and turn.question is not None:
        _note(turn, turn.question, answered=text)
    return False


def _answer(turn: _Turn, question: RowMapping) -> bool:
    reading = turn.reading
    value = reading.value if reading.meaning is Meaning.SCORE else reading.meaning.value
    done = answers.answer(
        turn.session,
        question_id=question["id"],
        value=str(value),
        channel=turn.inbound.channel.value,
        comment=reading.comment or None,
        now=turn.now,
    )
    return done.woke


def _note(turn: _Turn, question: RowMapping, *, answered: str | None) -> None:
    """Let whoever works on the case see that the customer wrote, and that it was not clear."""
    held = cases.of_enrolments(turn.session, enrolment_ids=[question["enrolment_id"]])
    detail = {"reply": turn.meaning, "answered": answered}
    cases.note(
        turn.session, rows=[(case["id"], "note", dict(detail)) for case in held], at=turn.now
    )
