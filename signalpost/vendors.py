"""What the vendors' adapters are told: the accounts that the settings name, or the local post office."""

from dataclasses import replace

from signalpost.domain.vocabulary import Purpose
from signalpost.errors import ConfigurationError
from signalpost.providers.sendgrid.settings import From, SendGridSettings
from signalpost.providers.twilio import TwilioSettings
from signalpost.settings import Settings

SENDGRID_EVENTS = "/webhooks/sendgrid/events"
TWILIO_STATUS = "/webhooks/twilio/status"
TWILIO_INBOUND = "/webhooks/twilio/inbound"

_LOCAL_SENDER = "+15005550006"  #: the number that Twilio's own test credentials may send from


def accounts(settings: Settings) -> tuple[list[SendGridSettings], list[TwilioSettings]]:
    """Every account that is set up: the usual ones, and the second ones."""
    mail, phone = sendgrid_settings(settings, brand=""), twilio_settings(settings)
    mails, phones = (mail, second_sendgrid(settings, mail)), (phone, second_twilio(settings, phone))
    return [one for one in mails if one], [one for one in phones if one]


def sendgrid_settings(settings: Settings, *, brand: str) -> SendGridSettings:
    """What the SendGrid adapter is told; the local post office unless an account is set."""
    name = settings.email_from_name or brand
    senders = {
        str(Purpose.SECURITY): settings.email_from_security,
        str(Purpose.TRANSACTIONAL): None,
        str(Purpose.MARKETING): settings.email_from_marketing,
    }
    keys = settings.sendgrid_webhook_public_keys
    return SendGridSettings(
        api_key=settings.keys["sendgrid_api_key"],
        senders={k: From(email=v or settings.email_from, name=name) for k, v in senders.items()},
        base_url=settings.postoffice_url if settings.local_sendgrid else settings.sendgrid_base_url,
        webhook_public_keys=(
            *(keys or (settings.keys["sendgrid_webhook_public_key"],)),
            *settings.sendgrid_second_webhook_public_keys,
        ),
        asm_group=settings.sendgrid_asm_group,
    )


def second_sendgrid(settings: Settings, first: SendGridSettings) -> SendGridSettings | None:
    """What the adapter of the second SendGrid account is told; None: there is none."""
    key = settings.sendgrid_second_api_key
    if key is None:
        return None
    return replace(
        first, api_key=key.get_secret_value(), base_url=settings.sendgrid_second_base_url
    )


def second_twilio(settings: Settings, first: TwilioSettings) -> TwilioSettings | None:
    """What the adapter of the second Twilio account is told; None: there is none.

    Raises:
        ConfigurationError: it lacks its token or its sender.
    """
    sid, token = settings.twilio_second_account_sid, settings.twilio_second_auth_token
    if sid is None:
        return None
    sender = settings.twilio_second_sender
    service = settings.twilio_second_messaging_service_sid
    if token is None or (sender is None and service is None):
        raise ConfigurationError(
            "SIGNALPOST_TWILIO_SECOND_ACCOUNT_SID needs SIGNALPOST_TWILIO_SECOND_AUTH_TOKEN, and "
            "SIGNALPOST_TWILIO_SECOND_SENDER or SIGNALPOST_TWILIO_SECOND_MESSAGING_SERVICE_SID."
        )
    return replace(
        first,
        account_sid=sid,
        api_key=sid,
        api_secret=token.get_secret_value(),
        base_url=settings.twilio_second_base_url,
        sender=sender,
        messaging_service_sid=service,
        whatsapp_sender=None,
        messenger_sender=None,
    )


def twilio_settings(settings: Settings) -> TwilioSettings:
    """What the Twilio adapter is told; the local post office unless an account is set.

    Raises:
        ConfigurationError: an account is set without its token or without a sender.
    """
    _check_twilio(settings)
    keys = settings.keys
    sid, token = keys["twilio_account_sid"], keys["twilio_auth_token"]
    secret = settings.twilio_api_secret
    second = settings.twilio_second_auth_token
    old = [one.get_secret_value() for one in settings.twilio_old_auth_tokens]
    old += [second.get_secret_value()] if second else []  # its callbacks come to the same address
    by_service = settings.twilio_messaging_service_sid is not None
    return TwilioSettings(
        account_sid=sid,
        api_key=settings.twilio_api_key or sid,
        api_secret=secret.get_secret_value() if secret else token,
        auth_tokens=(token, *old),
        base_url=settings.postoffice_url if settings.local_twilio else settings.twilio_base_url,
        sender=settings.twilio_sender or (None if by_service else _LOCAL_SENDER),
        messaging_service_sid=settings.twilio_messaging_service_sid,
        whatsapp_sender=settings.whatsapp_sender,
        messenger_sender=settings.messenger_sender,
        status_callback=settings.base_url + TWILIO_STATUS,
        callback_secret=settings.links_signed_with[-1],
    )


def _check_twilio(settings: Settings) -> None:
    if settings.local_twilio or settings.twilio_base_url is not None:
        return
    if settings.twilio_auth_token is None:
        raise ConfigurationError(
            "SIGNALPOST_TWILIO_ACCOUNT_SID is set without SIGNALPOST_TWILIO_AUTH_TOKEN, which also "
            "proves that webhooks are Twilio's. Set it, or unset both to use the local post office."
        )
    if (settings.twilio_api_key is None) != (settings.twilio_api_secret is None):
        raise ConfigurationError(
            "SIGNALPOST_TWILIO_API_KEY and SIGNALPOST_TWILIO_API_SECRET belong together: set both "
            "or neither."
        )
    if settings.twilio_sender is None and settings.twilio_messaging_service_sid is None:
        raise ConfigurationError(
            "No sender for text messages is set: set SIGNALPOST_TWILIO_SENDER to a number of your "
            "Twilio account, or SIGNALPOST_TWILIO_MESSAGING_SERVICE_SID."
        )
