"""The in-app inbox: what a person sees in our app, and what they do with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content import Catalogue
from signalpost.domain.delivery import Receipt
from signalpost.domain.text import fill
from signalpost.domain.vocabulary import Channel, ReceiptKind
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import customers, inbox, questions
from signalpost.services.inbound import answers, receipts

#: What each action writes; doing it again changes nothing.
_WRITES: Mapping[str, tuple[str, ...]] = {
    "seen": ("seen_at",),
    "read": ("seen_at", "read_at"),
    "archive": ("seen_at", "archived_at"),
}
_PROVES: Mapping[str, ReceiptKind] = {
    "seen": ReceiptKind.DELIVERED,
    "read": ReceiptKind.READ,
}
ACTIONS = (*_WRITES, "unarchive")
#: An open page is told of changes to so many of a person's newest items.
WATCHED = 200


@dataclass(frozen=True, kw_only=True)
class News:
    """What changed in an inbox since somebody last looked."""

    items: Sequence[Mapping[str, Any]]  #: new ones, oldest first
    states: Sequence[Mapping[str, Any]]  #: of items that were known
    unread: int


def root_of(session: Session, *, customer_id: str) -> str:
    """Give the root customer that a token's customer is now part of.

    Raises:
        NotFoundError: there is no such customer.
    """
    found = customers.roots(session, [customer_id])
    if customer_id not in found:
        raise NotFoundError("There is no such customer.")
    return found[customer_id]


def root_of_user(session: Session, *, user_id: str) -> str:
    """Give the root customer of a user id.

    Raises:
        NotFoundError: nobody has it.
    """
    found = customers.led_to(session, [("user_id", user_id)]).get(("user_id", user_id))
    if found is None:
        raise NotFoundError("There is no customer with this user id.")
    return found


def page(
    session: Session,
    *,
    catalogue: Catalogue,
    root: str,
    limit: int,
    before: str | None,
    archived: bool,
    now: datetime,
) -> dict[str, Any]:
    """Give a page of a person's inbox, newest first, and how much of it is unread."""
    rows = inbox.page(session, root=root, limit=limit, before=before, archived=archived, now=now)
    return {
        "items": _items(session, catalogue, root, rows),
        "unread": unread(session, root=root, now=now),
    }


def unread(session: Session, *, root: str, now: datetime) -> int:
    """Count what is neither read nor archived."""
    return inbox.unread(session, roots=[root], now=now).get(root, 0)


def act(session: Session, *, root: str, item_id: str, action: str, now: datetime) -> None:
    """Do one of ``ACTIONS`` to an item; seeing and reading are receipts, on the record too.

    Raises:
        NotFoundError: this person has no such item.
    """
    _item(session, root, item_id, now)
    if action == "unarchive":
        inbox.unarchive(session, message_id=item_id)
        return
    inbox.mark(session, message_id=item_id, moments=_WRITES[action], now=now)
    if action in _PROVES:
        receipts.record(session, given=[_receipt(item_id, action, now)], now=now)


def see_all(session: Session, *, root: str, now: datetime) -> int:
    """Write that everything was seen; gives how many were not before."""
    unseen = inbox.unseen(session, root=root)
    inbox.mark_seen(session, message_ids=unseen, now=now)
    receipts.record(session, given=[_receipt(one, "seen", now) for one in unseen], now=now)
    return len(unseen)


def answer(
    session: Session, *, catalogue: Catalogue, root: str, item_id: str, text: str, now: datetime
) -> answers.Answered:
    """Answer the question that an item asks.

    Raises:
        NotFoundError: this person has no such item.
        ConflictError: it asks nothing, or the question is closed.
        BadInputError: that is no answer to it.
    """
    row = _item(session, root, item_id, now)
    asked = _questions(session, catalogue, root, [row]).get(item_id)
    if asked is None:
        raise ConflictError("This message asks nothing, or its question is closed.")
    value = answers.read_value(asked, text)
    done = answers.answer(
        session, question_id=asked["id"], value=value, channel=Channel.IN_APP.value, now=now
    )
    if not done.accepted:
        raise ConflictError("The question was answered before.")
    return done


def people(session: Session, *, limit: int, now: datetime) -> list[dict[str, Any]]:
    """Give the people who have in-app messages, the newest message first."""
    roots = inbox.people(session, limit=limit)
    who = customers.profiles(session, roots)
    counts = inbox.unread(session, roots=roots, now=now)
    return [
        {
            "customer_id": root,
            "name": _name(who.get(root, {}).get("attributes", {})) or root,
            "unread": counts.get(root, 0),
        }
        for root in roots
    ]


def news(
    session: Session,
    *,
    catalogue: Catalogue,
    root: str,
    known: Mapping[str, RowMapping],
    now: datetime,
) -> tuple[News, dict[str, RowMapping]]:
    """Compare an inbox with what was ``known`` of it; gives what changed, and what is known now."""
    states = inbox.states(session, root=root, limit=WATCHED)
    fresh = [message_id for message_id in states if message_id not in known]
    rows = [inbox.item(session, root=root, message_id=one, now=now) for one in fresh]
    changed = [
        _state(row) for one, row in states.items() if one in known and dict(row) != dict(known[one])
    ]
    found = News(
        items=_items(session, catalogue, root, [row for row in rows if row is not None]),
        states=changed,
        unread=unread(session, root=root, now=now),
    )
    return found, states


def _item(session: Session, root: str, item_id: str, now: datetime) -> RowMapping:
    row = inbox.item(session, root=root, message_id=item_id, now=now)
    if row is None:
        raise NotFoundError("There is no such message in this inbox.")
    return row


def _items(
    session: Session, catalogue: Catalogue, root: str, rows: Sequence[RowMapping]
) -> list[dict[str, Any]]:
    asked = _questions(session, catalogue, root, rows)
    return [_shown(row, asked.get(row["message_id"])) for row in rows]


def _questions(
    session: Session, catalogue: Catalogue, root: str, rows: Sequence[RowMapping]
) -> dict[str, RowMapping]:
    """Give the open question of each item whose message asks one."""
    asking = [
        row for row in rows if row["message"] in catalogue and catalogue[row["message"]].question
    ]
    if not asking:
        return {}
    held = questions.open_now(session, roots=[root]).get(root, [])
    found = {}
    for row in asking:
        spec = catalogue[row["message"]].question
        theirs = [
            one
            for one in held
            if one["enrolment_id"] == row["enrolment_id"] and spec and one["kind"] == spec.kind
        ]
        if theirs:
            found[row["message_id"]] = theirs[-1]
    return found


def _shown(row: RowMapping, question: RowMapping | None) -> dict[str, Any]:
    text = fill(row["parts"], row["slots"])
    url, label = text.get("action_url", "").strip(), text.get("action_label", "").strip()
    return {
        "title": text.get("title", ""),
        "body": text.get("body", ""),
        "action": {"label": label, "url": url} if url and label else None,
        "created_at": _iso(row["created_at"]),
        "message": row["message"],
        "question": {name: question[name] for name in ("name", "kind", "low", "high")}
        if question
        else None,
        **_state(row),
    }


def _state(row: RowMapping) -> dict[str, Any]:
    moments = ("seen_at", "read_at", "archived_at", "withdrawn_at")
    return {"id": row["message_id"], **{name: _iso(row[name]) for name in moments}}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _receipt(item_id: str, action: str, now: datetime) -> Receipt:
    return Receipt(
        provider="in_app",
        keys=(f"{item_id}:{action}",),
        kind=_PROVES[action],
        at=now,
        message_id=item_id,
        provider_id=item_id,
    )


def _name(attributes: Mapping[str, Any]) -> str:
    parts = [attributes.get("first_name"), attributes.get("last_name")]
    named = " ".join(part for part in parts if isinstance(part, str) and part)
    whole = attributes.get("name")
    return named or (whole if isinstance(whole, str) else "")
