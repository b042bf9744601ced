"""Confirming a subscription by the link in a mail (double opt-in): a yes of whoever reads that mail.

It counts once, for the address that was written to, and only while the consent that the mail asks about
still waits: neither a link that is used again nor an older one undoes a later no.
"""

from datetime import datetime

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.vocabulary import Channel
from signalpost.record import consents, customers, links
from signalpost.services.inbound import unsubscribe
from signalpost.services.intake import consent

SOURCE = "double opt-in"


def confirm(
    session: Session, *, customer_id: str, message_id: str, topic: str, now: datetime
) -> bool:
    """Grant the topic by email, if its consent is pending; gives whether it was."""
    root = customers.roots(session, [customer_id]).get(customer_id)
    message = links.message_behind(session, message_id=message_id)
    if root is None or message is None or message["root_id"] != root:
        return False
    customers.lock_customers(session, [root])
    if not _is_asked(session, root, message, topic):
        return False
    choice = unsubscribe.Choice(channel=Channel.EMAIL.value, topic=topic, granted=False)
    granted = consent.Statement(
        channel=choice.channel,
        topic=topic,
        status="granted",
        source=SOURCE,
        at=now,
        wording=choice.wording,
    )
    consent.record_statements(session, said=[(root, granted)], now=now)
    unsubscribe.lift(session, root, [choice], source=SOURCE, now=now)
    return True


def _is_asked(session: Session, root: str, message: RowMapping, topic: str) -> bool:
    """Whether this mail asks what is still open: sent to the address of now, after it was asked for."""
    points = customers.current_contact_points(session, [root]).get(root, {})
    point = points.get(Channel.EMAIL.value)
    if message["channel"] != Channel.EMAIL or point is None or point.address != message["address"]:
        return False
    said = consents.statements(session, [root]).get(root, [])
    if consent.standing(said, Channel.EMAIL.value, topic) != "pending":
        return False
    asked_at = [
        row.at
        for row in said
        if row.status == "pending"
        and row.channel in (Channel.EMAIL.value, "*")
        and row.topic in (topic, "*")
    ]
    return max(asked_at) <= message["created_at"]
