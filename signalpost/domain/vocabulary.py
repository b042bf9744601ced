"""The closed vocabularies of the product; docs/glossary.md says the same in prose."""

from enum import StrEnum


class Word(StrEnum):
    """A word of a closed vocabulary: it equals its text, and is found by it."""

    # Enum's own is written in Python, and hashes the name: a batch looks words up by the thousand.
    __hash__ = str.__hash__


class Channel(Word):
    """The way a message reaches a customer."""

    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    MESSENGER = "messenger"
    IN_APP = "in_app"


class Purpose(Word):
    """Why a message is sent; decides which gate rules apply to it."""

    SECURITY = "security"  #: fraud and account safety: no caps, no quiet hours, STOP still holds
    TRANSACTIONAL = "transactional"  #: about something the customer did: no consent needed
    MARKETING = "marketing"  #: every rule applies


class Lane(Word):
    """A Prefect work queue of its own, with a worker process of its own."""

    RISK = "risk"
    SERVICE = "service"
    MARKETING = "marketing"


class MessageStatus(Word):
    """Where one message stands. ``domain.status`` holds the allowed moves and their rank."""

    QUEUED = "queued"  #: decided and counted, not yet handed to a provider
    SENDING = "sending"  #: intent committed, the provider is being called
    HANDED_OVER = "handed_over"  #: the provider accepted it
    DEFERRED = "deferred"  #: the receiving side asked the provider to come again
    DELIVERED = "delivered"  #: the receiving side took it
    BOUNCED = "bounced"  #: the receiving side refused it
    REJECTED = "rejected"  #: the provider refused it
    FAILED = "failed"  #: our own fault: a template broke, a fact was missing
    UNKNOWN = "unknown"  #: nobody knows whether the provider took it; never blindly sent again
    EXPIRED = "expired"  #: it was too late to be worth sending


class DeliveryStatus(Word):
    """How one attempt to hand a message to a provider ended."""

    SENDING = "sending"  #: intent committed, no answer yet
    ACCEPTED = "accepted"
    REJECTED = "rejected"  #: refused for good
    RETRY = "retry"  #: certainly not processed (429, refused connection): safe to repeat
    UNKNOWN = "unknown"  #: timeout, reset or 5xx after the bytes left


class FaultClass(Word):
    """Whose fault a failed delivery is, which decides what happens next."""

    TRANSIENT = "transient"  #: try again later
    PERMANENT = "permanent"  #: this address or message will never work
    OURS = "ours"  #: our account or our request is wrong: tell the operator


class ReceiptKind(Word):
    """What a provider later says about a delivery, in our words."""

    QUEUED = "queued"
    SENT = "sent"  #: left the provider; for many mobile networks the last word there is
    DELIVERED = "delivered"
    DEFERRED = "deferred"  #: will be tried again by the provider; DELIVERED or BOUNCED follows
    BOUNCED = "bounced"  #: hard: the address is bad
    BLOCKED = "blocked"  #: soft: refused this time, the address may be good
    REJECTED = "rejected"  #: the provider dropped it
    FAILED = "failed"
    OPENED = "opened"
    CLICKED = "clicked"
    READ = "read"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    UNKNOWN = "unknown"  #: a word of the provider that we do not know; the raw is kept


class Decision(Word):
    """What the gate says about one message for one person on one channel."""

    SEND = "send"
    SKIP = "skip"
    HOLD = "hold"
