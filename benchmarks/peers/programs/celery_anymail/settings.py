"""Django with a record that waits for the disk on each commit, and anymail's SendGrid backend."""

import os

import material

SECRET_KEY = "benchmark"
USE_TZ = True
INSTALLED_APPS = ["anymail", "celery_anymail"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(material.FOLDER / "celery.db"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }
}
EMAIL_BACKEND = "anymail.backends.sendgrid.EmailBackend"
TAG = "[%{}%]"  # how a person's word is marked in a batch
ANYMAIL = {
    "SENDGRID_API_KEY": "SG.benchmark",
    "SENDGRID_API_URL": f"{material.SINK}/v3/",
    "SENDGRID_MERGE_FIELD_FORMAT": TAG,
}
REDIS = os.environ.get("PEER_REDIS", "")
