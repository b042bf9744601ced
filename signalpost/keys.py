"""The keys of one installation: made once, kept in the state folder, readable by its owner alone."""

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from signalpost.errors import ConfigurationError

FILE = "keys.json"

_MAKERS: Mapping[str, Callable[[], str]] = {
    "write_key": lambda: "spw_" + secrets.token_urlsafe(24),
    "api_key": lambda: "spr_" + secrets.token_urlsafe(24),
    "link_secret": lambda: secrets.token_urlsafe(32),
    "hook_secret": lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    "event_secret": lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    "suppression_secret": lambda: secrets.token_urlsafe(32),
    "erasure_key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "sendgrid_api_key": lambda: "SG.local." + secrets.token_urlsafe(24),
    "twilio_account_sid": lambda: "AC" + secrets.token_hex(16),
    "twilio_auth_token": lambda: secrets.token_hex(16),
}
"""What is made, and how; the SendGrid webhook's pair of keys comes on top."""


def _make() -> dict[str, str]:
    from signalpost.postoffice.config import new_sendgrid_keypair

    private, public = new_sendgrid_keypair()
    made = {name: maker() for name, maker in _MAKERS.items()}
    made |= {"sendgrid_webhook_private_key": private, "sendgrid_webhook_public_key": public}
    return made


def _read(path: Path) -> dict[str, str]:
    try:
        keys = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The keys in {path} cannot be read ({type(error).__name__}). Restore the file from a "
            "backup; or delete it and start again, which makes new keys and ends links in old mail."
        ) from error
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise ConfigurationError(f"{path} is not a JSON object of texts; restore it or delete it.")
    return keys


def _write(path: Path, keys: Mapping[str, str]) -> None:
    """Write the file whole or not at all; the first of two processes wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(keys, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            draft.replace(path)
        else:
            os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def load_or_make(home: Path) -> dict[str, str]:
    """Give the keys of the installation at ``home``, making those that are missing.

    Raises:
        ConfigurationError: the file is damaged, or the folder cannot be written.
    """
    path = home / FILE
    try:
        if not path.exists():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(path, _make())
        keys = _read(path)
        if missing := (_MAKERS.keys() - keys.keys()):
            _write(path, keys | {name: _MAKERS[name]() for name in missing})
            keys = _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"The state folder {home} cannot be written ({error.strerror}). Set SIGNALPOST_HOME to "
            "a folder that you own."
        ) from error
    return keys
