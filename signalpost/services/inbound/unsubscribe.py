"""Unsubscribing in one step (RFC 8058), and the page where people choose what they get."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from signalpost.content import Catalogue
from signalpost.domain.vocabulary import Channel, Purpose
from signalpost.record import consents, customers, links
from signalpost.services import forgotten
from signalpost.services.inbound import optouts
from signalpost.services.intake import consent

UNSUBSCRIBE = "unsubscribe"
PREFERENCE_CENTRE = "preference centre"
#: What the customer's own new yes lifts; STOP is lifted by START alone, a bounce by a new address.
_LIFTED_BY_YES = (UNSUBSCRIBE, "complaint", forgotten.REASON)
_CHANNELS = {
    Channel.EMAIL: "Email",
    Channel.SMS: "Text message",
    Channel.WHATSAPP: "WhatsApp",
    Channel.MESSENGER: "Messenger",
    Channel.IN_APP: "In our app",
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One channel and topic that a person may say yes or no to."""

    channel: str
    topic: str
    granted: bool
    stopped: bool = False  #: they wrote STOP: only START opens the channel again

    @property
    def key(self) -> str:
        """What a form calls it."""
        return f"{self.channel}:{self.topic}"

    @property
    def channel_label(self) -> str:
        """The channel as people call it."""
        return _CHANNELS[Channel(self.channel)]

    @property
    def topic_label(self) -> str:
        """The topic as people read it."""
        return topic_label(self.topic)

    @property
    def wording(self) -> str:
        """What the person agreed to, or not."""
        return f"{self.topic_label}: {self.channel_label}"


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """What a person may choose, and where each choice stands."""

    root: str
    choices: Sequence[Choice]


def topic_label(topic: str) -> str:
    """Give a topic as people read it."""
    return topic.replace("_", " ").replace("-", " ").capitalize()


def unsubscribe(
    session: Session,
    *,
    customer_id: str,
    message_id: str,
    topic: str,
    source: str,
    wording: str,
    now: datetime,
) -> bool:
    """Deny a topic by email and block it on the address written to; gives whether that was new."""
    root = customers.roots(session, [customer_id]).get(customer_id)
    if root is None:
        return False
    customers.lock_customers(session, [root])
    denied = consent.Statement(
        channel=Channel.EMAIL.value,
        topic=topic,
        status="denied",
        source=source,
        at=now,
        wording=wording,
    )
    said = consent.record_statements(session, said=[(root, denied)], now=now)
    message = links.message_behind(session, message_id=message_id)
    if message is None or message["root_id"] != root or message["channel"] != Channel.EMAIL:
        return said > 0
    blocked = optouts.block(
        session, blocks=[_block(message["address"], topic, UNSUBSCRIBE, source)], now=now
    )
    return said + blocked > 0


def preferences(session: Session, *, catalogue: Catalogue, customer_id: str) -> Preferences | None:
    """Give what a person may choose, or None when there is no such person."""
    root = customers.roots(session, [customer_id]).get(customer_id)
    if root is None:
        return None
    points = customers.current_contact_points(session, [root]).get(root, {})
    addresses = {channel: row.address for channel, row in points.items()}
    said = consents.statements(session, [root]).get(root, [])
    held = optouts.in_force(session, addresses.values())
    choices = []
    for channel, topic in _offered(catalogue, addresses):
        address = addresses.get(channel, "")
        blocks = {(scope, why) for c, a, scope, why in held if (c, a) == (channel, address)}
        choices.append(
            Choice(
                channel=channel,
                topic=topic,
                granted=consent.standing(said, channel, topic) == "granted"
                and not any(scope in ("all", "marketing", topic) for scope, _ in blocks),
                stopped=("all", optouts.STOP) in blocks,
            )
        )
    return Preferences(root=root, choices=choices)


def choose(
    session: Session,
    *,
    catalogue: Catalogue,
    customer_id: str,
    shown: Collection[str],
    wanted: Collection[str],
    now: datetime,
) -> int:
    """Write the choices that differ from what stands, of those ``shown``; gives how many did."""
    customers.lock_customers(session, customers.roots(session, [customer_id]).values())
    before = preferences(session, catalogue=catalogue, customer_id=customer_id)
    if before is None:
        return 0
    changed = [
        choice
        for choice in before.choices
        if choice.key in shown and not choice.stopped and (choice.key in wanted) != choice.granted
    ]
    said = [
        (
            before.root,
            consent.Statement(
                channel=choice.channel,
                topic=choice.topic,
                status="denied" if choice.granted else "granted",
                source=PREFERENCE_CENTRE,
                at=now,
                wording=choice.wording,
            ),
        )
        for choice in changed
    ]
    consent.record_statements(session, said=said, now=now)
    granted = [choice for choice in changed if not choice.granted]
    lift(session, before.root, granted, source=PREFERENCE_CENTRE, now=now)
    return len(changed)


def lift(
    session: Session, root: str, granted: Sequence[Choice], *, source: str, now: datetime
) -> None:
    """Lift what an earlier no of theirs blocks, where they say yes now."""
    points = customers.current_contact_points(session, [root]).get(root, {})
    optouts.lift(
        session,
        blocks=[
            optouts.Block(
                channel=choice.channel,
                address=points[choice.channel].address,
                scope=scope,
                reason=reason,
                source=source,
            )
            for choice in granted
            if choice.channel in points
            for scope in (choice.topic, "marketing")
            for reason in _LIFTED_BY_YES
        ],
        now=now,
    )


def _offered(catalogue: Catalogue, channels: Collection[str]) -> list[tuple[str, str]]:
    """Give the channels and topics we send marketing by, of those that reach the person."""
    reachable = {*channels, Channel.IN_APP.value}
    found = {
        (channel.value, spec.topic)
        for spec in (catalogue[name] for name in catalogue.names())
        if spec.purpose is Purpose.MARKETING
        for channel in spec.channels
        if channel.value in reachable
    }
    order = [channel.value for channel in Channel]
    return sorted(found, key=lambda one: (one[1], order.index(one[0])))


def _block(address: str, scope: str, reason: str, source: str) -> optouts.Block:
    return optouts.Block(
        channel=Channel.EMAIL.value, address=address, scope=scope, reason=reason, source=source
    )
