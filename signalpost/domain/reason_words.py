"""Reasons and channels in plain words: one sentence for each reason on the record."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

#: Reason code → sentence. ``{…}`` are filled from the decision's detail.
REASONS: Mapping[str, str] = {
    # the gate
    "allowed": "every rule of its purpose allowed it",
    "next_channel": "the channel before it did not work, so this one was tried",
    "once_more": "it did not arrive the first time, so it was sent once more",
    "circuit_open": "nothing goes to the provider's account for now",
    "worker_stops": "the worker was told to stop before its turn",
    "no_contact_point": "there is no address for this channel",
    "unverified_contact_point": "the address is not known to be the customer's own",
    "not_written_for_channel": "the message is not written for this channel",
    "suppressed_stop": "the customer said STOP on this channel",
    "suppressed_hard_bounce": "an earlier message to this address came back: it does not exist",
    "suppressed_complaint": "the customer reported an earlier message as unwanted",
    "suppressed_unsubscribe": "the customer unsubscribed",
    "suppressed_bad_address": "the provider says that this address cannot be written to",
    "suppressed_erased": "whoever had this address before was erased, and it was not opened again",
    "suppressed_manual": "an operator blocked this address",
    "no_consent": "marketing needs the customer's consent, and there is none",
    "consent_denied": "the customer said no to this kind of message (since {since})",
    "consent_pending": "the customer's consent is not confirmed yet",
    "holdout": "the customer is among those held out, so that marketing can be measured",
    "duplicate": "the same message was sent not long ago (at {last_sent})",
    "frequency_cap": "the customer has had as much marketing as the cap allows ({cap})",
    "quiet_hours": "it is night where the customer is; it goes out at {until}",
    "expired": "it came too late to be of use (after {expired_at})",
    "expires_before_morning": "it would be too late by the time it may be sent ({until})",
    "incident": "marketing waits while {incident} lasts",
    "expires_in_incident": "it would be too late once {incident} is over",
    "merged": "the customer was found to be the same person as {into}, who is asked instead",
    "already_happened": "what it is about had happened already ({event})",
    "render_failed": "the template broke on this customer's values",
    "missing_fact": "a fact that it must show is missing: {subject}",
    "bad_fact": "a fact that it must show is not of its type: {subject}",
    "sender_stopped": "its sender stopped half way, so nobody knows whether it went out",
    "fenced": "its sender's claim was over before the request left, so it was not sent",
    "stopped": "they said no after it was decided on, so it was not sent and the gate was asked again",
    "went_on": "it was not sent in time, and its journey went on without it",
    "not_found": "the provider does not have it, an hour later; it was not sent again",
    "not_asked": "the provider could not be asked; it was not sent again",
    "resolved_not_sent": "an operator found out that it did not go",
    "abandoned": "an operator gave it up; whether it went is not known",
    "provider_refuses": "the provider put it off again and again ({subject})",
    # a campaign
    "cancelled": "the run was cancelled",
    "local_time": "its time of day has not come where the customer is; it comes at {until}",
    "already_redeemed": "the customer has redeemed the offer",
    "told_already": "an earlier run of the series has told the customer of it, or is about to",
    "series_over": "the series was over before the customer's turn came",
    "no_channel": "none of its channels is open to the customer",
    "decide_failed": "something about this customer stopped the deciding ({subject})",
    # entry into a journey
    "stale_event": "the event is too old to act on",
    "already_entered": "the customer has entered it for the same thing before",
    "still_inside": "the customer is inside already",
    "begun_anew": "it began anew with a newer event of the kind",
    "newer_came": "a newer event of the kind counts instead",
    # steps
    "waits": "it waits until {until}",
    "timeout": "what it waited for did not come in time",
    "event_came": "{name} came",
    "answer_came": "the customer answered {name}",
    "branch": "the question was: {condition}",
    "split": "the customer always falls on this side of {name}",
    "recall": "this was looked up in what happened before",
    "issue": "the promotion {promotion_id} was issued",
    "set": "the attribute {name} was set",
    "handed_off": "the case went to a person in {team}",
    "case_closed": "the case was closed",
    "called": "{hook} was called",
    "by_operator": "an operator says that what stopped it is repaired",
}

_HELD_OUT: Mapping[str, str] = {
    "global": "kept from all marketing",
    "campaign": "kept from this campaign",
    "control": "in the arm that gets nothing",
}  #: by the reasons of ``services.campaigns.assigning``

_CHANNELS: Mapping[str, str] = {
    "sms": "SMS",
    "email": "email",
    "in_app": "in-app",
    "whatsapp": "WhatsApp",
    "messenger": "Messenger",
}


def channel_name(channel: str | None) -> str:
    """A channel as people write it."""
    return _CHANNELS.get(channel or "", channel or "")


def reason(code: str, detail: Mapping[str, Any]) -> str:
    """Say a reason in plain words; an unknown code is shown as it is, spaces for underscores."""
    name, _, subject = code.partition(":")
    sentence = REASONS.get(code) or REASONS.get(name)
    if sentence is None:
        return f"{code} came" if "." in code and " " not in code else code.replace("_", " ")
    known = {key: _shown(value) for key, value in detail.items()}
    filled = sentence.format_map(_Known({**known, "subject": subject}))
    return _GAP.sub(lambda gap: _ELSE.get(gap[1], "…"), _BESIDE.sub("", filled))


def reason_for_many(code: str) -> str:
    """Say a reason without what differs from one customer to the next."""
    return reason(code, {})


def shared_reason(outcome: str, code: str) -> str:
    """Say why people of a run came to an outcome, without what differs from one to the next."""
    if outcome == "held_out":
        return held_out(code)
    return reason_for_many(code) if code else ""


def held_out(code: str) -> str:
    """Say by which of its rules the house sends somebody nothing on purpose."""
    return _HELD_OUT.get(code, "kept out")


def to_measure(code: str) -> str:
    """Say it with what it is for."""
    return f"{held_out(code)}, so that the effect can be measured"


#: What is said in the place of something that is not known, or not the same for all.
_ELSE: Mapping[str, str] = {
    "incident": "an incident of theirs",
    "until": "a later time",
    "into": "another customer",
    "name": "what was waited for",
    "hook": "another system",
    "team": "another team",
    "condition": "its own",
    "promotion_id": "of this journey",
}
_GAP = re.compile("\x00([a-z_]+)\x00")
_BESIDE = re.compile(r"\s*\([^()]*\x00[^()]*\)|\s*\(\)")  #: in brackets: it can be left out


class _Known(dict[str, str]):
    """What is not known leaves a gap, rather than breaking the sentence."""

    def __missing__(self, key: str) -> str:
        return f"\x00{key}\x00"


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) > 16 and value[10:11] == "T":
        try:
            return f"{datetime.fromisoformat(value):%-d %B %Y, %H:%M %Z}"
        except ValueError:
            return value
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
