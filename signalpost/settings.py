"""Every setting, read from ``SIGNALPOST_*`` and from nowhere else; an error says which and what to do.

Unset keys come from the state folder (``signalpost.keys``). While no vendor account is set, mail and
text messages go to the local post office.
"""

import re
from collections.abc import Mapping
from datetime import time, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from signalpost import keys
from signalpost.domain.gate import Cap, Policy
from signalpost.domain.local_time import Window
from signalpost.errors import ConfigurationError

PREFIX = "SIGNALPOST_"


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not a web address; write it like http://127.0.0.1:8025")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("holds a user, a query or a fragment; write scheme, host and path only")
    if re.search(r"[\s<>\"'&]", value):  # links in messages begin with one
        raise ValueError("holds a space, a quote, a bracket or an &; write them as %20 and so on")
    return value.rstrip("/")


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("is not a time zone; write an IANA name like Europe/Paris") from error


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\"]+", value, re.ASCII):
        raise ValueError("is not an email address; write it like hello@shop.example")
    return value


def _phone(value: str) -> str:
    if not re.fullmatch(r"\+[1-9]\d{6,14}|\d{3,8}", value, re.ASCII):
        raise ValueError("is not a sender; write a number like +14155550100 or a short code")
    return value


def _listed(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if _text(value) else value


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _window(value: Any) -> Any:
    """Read "08:00-21:00", the local hours in which marketing may go out."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", value.strip())
    try:
        opens, closes = map(time.fromisoformat, found.groups() if found else ())
    except ValueError:
        raise ValueError("is no time of day to send in; write it like 08:00-21:00") from None
    if opens >= closes:
        raise ValueError("is no time of day to send in; write it like 08:00-21:00")
    return Window(opens, closes)


def _caps(value: Any) -> Any:
    """Read "2/1d,6/7d": so many in so many days (d) or hours (h)."""
    if not isinstance(value, str):
        return value
    caps = []
    for part in _listed(value):
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})([dh])", part)
        if not found or int(found[2]) == 0:
            raise ValueError("is no list of caps; write it like 2/1d,6/7d")
        hours = int(found[2]) * (24 if found[3] == "d" else 1)
        caps.append(Cap(int(found[1]), timedelta(hours=hours)))
    return tuple(caps)


Url = Annotated[str, AfterValidator(_url)]
Zone = Annotated[str, AfterValidator(_zone)]
Email = Annotated[str, AfterValidator(_email)]
Phone = Annotated[str, AfterValidator(_phone)]
Port = Annotated[int, Field(ge=1, le=65535)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_listed)]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class Settings(BaseSettings):
    """What an operator can set. ``load()`` reads it; secrets are never shown by ``repr``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True
    )

    home: Path = Path(".signalpost")  #: state: the record, keys, logs
    clock_file: Path | None = None  #: says what time it is, in rehearsals (``signalpost.clock``)
    host: str = "127.0.0.1"  #: what the servers listen on
    web_port: Port = 8000
    prefect_port: Port = 4200
    postoffice_port: Port = 8025
    worker_port: Port | None = None  #: of a worker's probes and figures; `up` counts on from it
    postoffice_delay: float = Field(default=0.2, ge=0, le=60)  #: seconds a message takes a step
    prefect_public_url: Url | None = None  #: how operators reach Prefect, if not on loopback
    public_url: Url | None = None  #: how customers and vendors reach the web, https in production
    database_url: SecretStr | None = None  #: sqlite:///… or postgresql://…; it may hold a password
    templates: Path = Path("templates")
    journeys: str = "flows"  #: the module whose JOURNEYS are run
    campaigns: Path = Path("deployments/campaigns")  #: a file for each; none when it is missing
    grace: float = Field(default=25, gt=0, le=3600)  #: seconds a worker told to stop takes at most
    keep_events_days: int | None = Field(default=None, ge=90)  #: unset: for ever
    keep_messages_days: int | None = Field(default=None, ge=90)  #: with all that is about them
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["logfmt", "json"] = "logfmt"
    otlp_url: Url | None = None  #: a collector of OpenTelemetry's spans; none: there are no spans

    write_key: SecretStr | None = None  #: for senders of signals
    api_key: SecretStr | None = None  #: for readers of the record
    link_secrets: Secrets = ()  #: sign links and sessions; the newest last
    event_secrets: Secrets = ()  #: whsec_…, of signed events that come in; any is accepted
    hook_secret: SecretStr | None = None  #: whsec_…, signs the webhooks that go out
    suppression_secret: SecretStr | None = (
        None  #: of fingerprints; lost, the erased may be written to
    )
    erasure_key: SecretStr | None = None  #: signs receipts of erasures: 32 bytes in base64
    hook_old_secrets: Secrets = ()  #: signed with as well, while a receiver changes over
    hooks_private: Texts = ()  #: networks that hooks may go to though they are not public
    hooks: Mapping[str, Url] = Field(default_factory=dict)  #: JSON: {"block_card": "https://…"}
    hook_timeout: float = Field(default=10, gt=0, le=120)  #: seconds

    hosts: Texts = ()  #: names the web answers to besides public_url's and this machine's: "web"
    proxies: Texts = ()  #: addresses of proxies whose X-Forwarded-For is believed: "10.0.0.0/8"
    signal_rate: float = Field(default=20_000, gt=0)  #: signals a second of one key, per process
    request_rate: float = Field(default=200, gt=0)  #: other requests a second of one key
    address_rate: float = Field(default=50, gt=0)
    """Wrong keys, and forms behind links, a second from one address"""

    sendgrid_base_url: Url | None = None
    sendgrid_api_key: SecretStr | None = None
    sendgrid_webhook_public_keys: Texts = ()  #: base64, as SendGrid shows them
    sendgrid_asm_group: int | None = None
    sendgrid_second_base_url: Url | None = None
    sendgrid_second_api_key: SecretStr | None = None  #: used while the first account refuses mail
    sendgrid_second_webhook_public_keys: Texts = ()
    email_from: Email = "hello@brand.example"
    email_from_security: Email | None = None
    email_from_marketing: Email | None = None
    email_from_name: str = ""  #: defaults to the brand's name

    twilio_base_url: Url | None = None
    twilio_account_sid: str | None = Field(default=None, pattern=r"^AC[0-9a-fA-F]{32}$")
    twilio_auth_token: SecretStr | None = None
    twilio_old_auth_tokens: Secrets = ()  #: still accepted under webhooks while one is replaced
    twilio_api_key: str | None = Field(default=None, pattern=r"^SK[0-9a-fA-F]{32}$")
    twilio_api_secret: SecretStr | None = None
    twilio_sender: Phone | None = None
    twilio_messaging_service_sid: str | None = Field(default=None, pattern=r"^MG[0-9a-fA-F]{32}$")
    twilio_second_base_url: Url | None = None
    twilio_second_account_sid: str | None = Field(default=None, pattern=r"^AC[0-9a-fA-F]{32}$")
    twilio_second_auth_token: SecretStr | None = None  #: used while the first account refuses SMS
    twilio_second_sender: Phone | None = None
    twilio_second_messaging_service_sid: str | None = Field(
        default=None, pattern=r"^MG[0-9a-fA-F]{32}$"
    )
    quicker_account_first: bool = False  #: of two: the one that delivers slowly comes second
    whatsapp_sender: Phone | None = None
    messenger_sender: str | None = None

    default_zone: Zone = "UTC"  #: of customers whose zone nothing tells
    on_call: str = "on-call"  #: who gets a case when the customer has no agent
    holidays: Texts = ()  #: countries whose holidays are no working days: "US,DE-BY"
    send_window: Annotated[Window, NoDecode, BeforeValidator(_window)] = (
        Window()
    )  #: else quiet hours
    marketing_caps: Annotated[tuple[Cap, ...], NoDecode, BeforeValidator(_caps)] = Policy().caps
    """"2/1d,6/7d": messages on one channel in a rolling period; empty means no cap"""
    holdout: float = Field(default=0.0, ge=0, lt=1)  #: share of customers without marketing
    sms_prices: dict[str, Decimal] = Field(default_factory=dict)
    """Of a segment, by country: '{"US": "0.0079", "default": "0.05"}'; empty: plans give no cost"""

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """The keys in force: those that are set, else those of the state folder, made when missing."""
        known = keys.load_or_make(self.home)
        set_ = {name: getattr(self, name, None) for name in known}
        return known | {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in set_.items()
            if value is not None
        }

    @property
    def links_signed_with(self) -> tuple[str, ...]:
        """The secrets of links and sessions, the newest last."""
        return _plain(self.link_secrets) or (self.keys["link_secret"],)

    @property
    def events_signed_with(self) -> tuple[str, ...]:
        """The secrets under which a signed event that comes in is believed."""
        return _plain(self.event_secrets) or (self.keys["event_secret"],)

    @property
    def database_address(self) -> str:
        """Where the record is; SQLite in the state folder unless told."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'signalpost.db'}"

    @property
    def web_url(self) -> str:
        """How processes on this machine reach the web."""
        return f"http://{_reachable(self.host)}:{self.web_port}"

    @property
    def base_url(self) -> str:
        """How everybody else reaches the web; links in messages start with it."""
        return self.public_url or self.web_url

    @property
    def postoffice_url(self) -> str:
        """The local post office."""
        return f"http://{_reachable(self.host)}:{self.postoffice_port}"

    @property
    def prefect_url(self) -> str:
        """Prefect's pages."""
        return self.prefect_public_url or f"http://{_reachable(self.host)}:{self.prefect_port}"

    @property
    def local_sendgrid(self) -> bool:
        """Whether mail goes to the local post office: no SendGrid account and no host is set."""
        return self.sendgrid_api_key is None and self.sendgrid_base_url is None

    @property
    def local_twilio(self) -> bool:
        """Whether text messages go to the local post office: no account and no host is set."""
        return self.twilio_account_sid is None and self.twilio_base_url is None

    @property
    def hook_urls(self) -> Mapping[str, str]:
        """Where each webhook out goes; while the post office stands in, it takes the demo's."""
        if self.local_sendgrid or self.local_twilio:
            return {"block_card": f"{self.postoffice_url}/hooks/block-card", **self.hooks}
        return dict(self.hooks)

    @property
    def hook_networks(self) -> tuple[str, ...]:
        """Networks that hooks may go to though they are not public; the post office's own port."""
        if not (self.local_sendgrid or self.local_twilio):
            return self.hooks_private
        hosts = {"127.0.0.1", "[::1]"} | ({self.host} if _is_ipv4(self.host) else set())
        return (*(f"{one}:{self.postoffice_port}" for one in sorted(hosts)), *self.hooks_private)

    @property
    def hooks_signed_with(self) -> tuple[str, ...]:
        """The secrets that webhooks out are signed with, the newest last."""
        return (*_plain(self.hook_old_secrets), self.keys["hook_secret"])


def _reachable(host: str) -> str:
    """The name under which something that listens on ``host`` is reached from this machine."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - not bound here, only recognised
        return "127.0.0.1"
    return "[::1]" if host in ("::", "::1") else host


def _is_ipv4(host: str) -> bool:
    return re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", host, re.ASCII) is not None


def _plain(secrets: tuple[SecretStr, ...]) -> tuple[str, ...]:
    return tuple(secret.get_secret_value() for secret in secrets)


def load(**given: Any) -> Settings:
    """Read the settings from the environment; ``given`` goes before it.

    Raises:
        ConfigurationError: a setting is wrong; the text names the variable and says what to do. It
            never shows a value, since that may be a secret.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = [f"{_variable(one['loc'])} {_says(one)}" for one in error.errors()]
        raise ConfigurationError(_sentence(wrong)) from None
    except SettingsError as error:
        name = re.search(r'field "(\w+)"', str(error))
        variable = PREFIX + name[1].upper() if name else "A setting"
        raise ConfigurationError(
            _sentence([f'{variable} is not JSON; write it like {{"name": "value"}}'])
        ) from None


def _sentence(wrong: list[str]) -> str:
    if len(wrong) == 1:
        return f"The setting {wrong[0]}."
    return "\n".join([f"{len(wrong)} settings are wrong:", *(f"  {one}." for one in wrong)])


def _variable(location: tuple[int | str, ...]) -> str:
    name, *rest = location or ("setting",)
    inside = "".join(f" ({part})" for part in rest)
    return PREFIX + str(name).upper() + inside


_SAYS = {
    "int_parsing": "is not a whole number",
    "float_parsing": "is not a number",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
    "literal_error": "must be one of {expected}",
}
_SHAPES = {
    "twilio_account_sid": "is not an account sid; it starts with AC and has 34 characters",
    "twilio_api_key": "is not an API key sid; it starts with SK and has 34 characters",
    "twilio_messaging_service_sid": "is not a service sid; it starts with MG and has 34 characters",
    "twilio_second_account_sid": "is not an account sid; it starts with AC and has 34 characters",
    "twilio_second_messaging_service_sid": (
        "is not a service sid; it starts with MG and has 34 characters"
    ),
}


def _says(error: Any) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "string_pattern_mismatch":
        return _SHAPES.get(str(error["loc"][0]), "does not have the right shape")
    pattern = _SAYS.get(error["type"])
    if pattern:
        return pattern.format(**error.get("ctx", {}))
    return str(error["msg"]).lower()
