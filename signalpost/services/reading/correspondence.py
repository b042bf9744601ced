"""The timeline's part about what went out to a customer and what came back."""

from collections.abc import Iterator, Mapping

from signalpost.domain.reason_words import channel_name
from signalpost.domain.text import fill
from signalpost.domain.vocabulary import MessageStatus, ReceiptKind
from signalpost.record import timeline as record
from signalpost.record.messages import Message, MessageVariant
from signalpost.services.reading import campaigns
from signalpost.services.reading.entries import Entry, known


def entries(found: record.History) -> Iterator[Entry]:
    """Tell it all, in no order."""
    yield from _messages(found)
    yield from _deliveries(found)
    yield from _receipts(found)
    yield from _inbox(found)
    yield from _questions(found)
    yield from _replies(found)


_STATUS_TONE: Mapping[str, str] = {
    MessageStatus.DELIVERED: "good",
    MessageStatus.BOUNCED: "bad",
    MessageStatus.REJECTED: "bad",
    MessageStatus.FAILED: "bad",
    MessageStatus.UNKNOWN: "bad",
    MessageStatus.EXPIRED: "warn",
}


def _messages(found: record.History) -> Iterator[Entry]:
    for row in found.messages:
        to = "" if row.channel == "in_app" else f" to {row.address}"
        run = found.campaign_runs.get(row.campaign_run_id or "")
        of = f" ({campaigns.title(run)})" if run else ""
        yield Entry(
            at=row.created_at,
            kind="message",
            id=row.id,
            says=f"{row.message}{of} by {channel_name(row.channel)}{to}: {_words(row.status)}",
            tone=_STATUS_TONE.get(row.status, "plain"),
            channel=row.channel,
            message_id=row.id,
            enrolment_id=row.enrolment_id,
            campaign_run_id=row.campaign_run_id,
            run_id=row.run_id,
            text=text_as_sent(row, found.variants.get(row.variant_id or "")),
            detail=known(
                facts=row.facts,
                campaign=run and run.campaign,
                status=row.status,
                reason=row.reason,
                purpose=row.purpose,
                topic=row.topic,
                locale=row.locale,
                version=row.version,
                expires_at=row.expires_at,
            ),
            rank=(row.id, 1),
        )


def _words(code: str) -> str:
    return code.replace("_", " ")


def text_as_sent(message: Message, variant: MessageVariant | None) -> dict[str, str]:
    """The words of a message, by part; empty when it was never rendered."""
    if variant is None:
        return {}
    try:
        return fill(variant.parts, message.slots)
    except KeyError:
        return {}  # decided and never rendered: there are no words of it


def _deliveries(found: record.History) -> Iterator[Entry]:
    messages = {row.id: row for row in found.messages}
    tones = {"accepted": "quiet", "sending": "quiet", "retry": "warn"}
    for row in found.deliveries:
        message = messages.get(row.message_id)
        name = f"{message.message} " if message else ""
        yield Entry(
            at=row.started_at,
            kind="delivery",
            id=row.id,
            says=f"Handed {name}to {row.provider}, attempt {row.attempt}: {row.status}",
            tone=tones.get(row.status, "bad"),
            channel=message.channel if message else None,
            message_id=row.message_id,
            detail=known(
                provider_id=row.provider_id,
                fault=row.fault,
                code=row.code,
                note=row.detail,
                settled_at=row.settled_at,
            ),
            rank=(row.id, 2),
        )


_RECEIPT_TONE: Mapping[str, str] = {
    ReceiptKind.QUEUED: "quiet",
    ReceiptKind.SENT: "quiet",
    ReceiptKind.BOUNCED: "bad",
    ReceiptKind.BLOCKED: "bad",
    ReceiptKind.REJECTED: "bad",
    ReceiptKind.FAILED: "bad",
    ReceiptKind.COMPLAINED: "bad",
    ReceiptKind.DEFERRED: "warn",
    ReceiptKind.UNSUBSCRIBED: "warn",
}


def _receipts(found: record.History) -> Iterator[Entry]:
    messages = {row.id: row for row in found.messages}
    for row in found.receipts:
        message = messages.get(row.message_id or "")
        what = f"{message.message} " if message else ""
        by = " by a machine" if row.machine else ""
        yield Entry(
            at=row.received_at,
            kind="receipt",
            id=row.id,
            says=f"{row.provider} says: {what}{row.kind}{by}",
            tone="quiet" if row.machine else _RECEIPT_TONE.get(row.kind, "good"),
            channel=message.channel if message else None,
            message_id=row.message_id,
            detail=known(code=row.code, at=row.at, raw=row.raw),
            rank=(row.id, 3),
        )


def _inbox(found: record.History) -> Iterator[Entry]:
    messages = {row.id: row for row in found.messages}
    for row in found.items:
        message = messages.get(row.message_id)
        name = message.message if message else "a message"
        for what in ("seen", "read", "archived", "withdrawn"):
            at = getattr(row, f"{what}_at")
            if at is not None:
                yield Entry(
                    at=at,
                    kind="inbox",
                    id=f"{row.message_id}:{what}",
                    says=f"{name} was {what} in the app",
                    tone="good" if what == "read" else "quiet",
                    channel="in_app",
                    message_id=row.message_id,
                    rank=(row.message_id, 4),
                )


def _questions(found: record.History) -> Iterator[Entry]:
    for row in found.questions:
        code = f", answer code {row.code}" if row.code else ""
        yield Entry(
            at=row.asked_at,
            kind="question",
            id=row.id,
            says=f"Asked {row.name}{code}",
            tone="quiet",
            enrolment_id=row.enrolment_id,
            detail=known(kind=row.kind, outcome=row.outcome or "open", closed_at=row.closed_at),
            rank=(row.id, 4),
        )


def _replies(found: record.History) -> Iterator[Entry]:
    for row in found.replies:
        meaning = f"{row.meaning} ({row.value})" if row.value else row.meaning
        yield Entry(
            at=row.received_at,
            kind="reply",
            id=row.id,
            says=f"Customer wrote by {channel_name(row.channel)}, taken as {meaning}",
            channel=row.channel,
            text={"text": row.body},
            detail=known(sender=row.sender, meaning=row.meaning, value=row.value, at=row.at),
            rank=(row.id, 0),
        )
    for row in found.answers:
        yield Entry(
            at=row.at,
            kind="answer",
            id=row.question_id,
            says=f"Answered {row.name}: {row.value}",
            tone="good",
            channel=row.channel,
            enrolment_id=row.enrolment_id,
            text={"comment": row.comment} if row.comment else {},
            detail=known(name=row.name, value=row.value),
            rank=(row.question_id, 1),
        )
