"""Questions we ask, and the codes that tell one from another."""

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.content import MessageSpec
from signalpost.errors import ConfigurationError
from signalpost.record import questions
from signalpost.record.base import new_id
from signalpost.services.journeys.people import Group


def ask(session: Session, *, group: Group, spec: MessageSpec, now: datetime) -> None:
    """Open this step's question for everybody in the group, or keep it open when asked again.

    A confirmation gets a four-digit code that no other open question of the person has; it becomes
    the fact ``answer_code``. A new question on a scale supersedes an older one, since "4" alone
    could answer either.

    Raises:
        ConfigurationError: the message declares no ``[question]``.
    """
    name = group.node.args["question"]
    if spec.question is None:
        raise ConfigurationError(
            f"journey {group.people[0].program.journey!r} asks {spec.name!r}, which declares no "
            "[question] in its message.toml; add one"
        )
    open_now = questions.open_now(session, roots={person.root_id for person in group.people})
    rows: list[dict[str, Any]] = []
    superseded: list[str] = []
    for person in group.people:
        theirs = open_now.get(person.root_id, [])
        mine = [q for q in theirs if q["enrolment_id"] == person.id and q["name"] == name]
        if mine:
            code = mine[0]["code"]
        else:
            confirm = spec.question.kind == "confirm"
            code = new_code({q["code"] for q in theirs}) if confirm else None
            if not confirm:
                superseded += [q["id"] for q in theirs if q["kind"] == spec.question.kind]
            rows.append(
                {
                    "id": new_id(),
                    "customer_id": person.customer_id,
                    "enrolment_id": person.id,
                    "name": name,
                    "kind": spec.question.kind,
                    "low": spec.question.low,
                    "high": spec.question.high,
                    "code": code,
                    "asked_at": now,
                }
            )
        if code:
            person.facts["answer_code"] = code
    questions.close(session, ids=superseded, outcome="superseded", now=now)
    questions.add(session, rows=rows)


def new_code(taken: Collection[str | None]) -> str:
    """Draw a four-digit code that is not among those taken."""
    while True:
        code = f"{secrets.randbelow(9000) + 1000}"
        if code not in taken:
            return code
