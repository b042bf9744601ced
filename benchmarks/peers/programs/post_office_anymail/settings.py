"""Django with a record that waits for the disk on each commit, and post office in front of anymail."""

import material

SECRET_KEY = "benchmark"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "anymail", "post_office"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(material.FOLDER / "post_office.db"),
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }
}
EMAIL_BACKEND = "post_office.EmailBackend"
POST_OFFICE = {
    "BACKENDS": {"default": "anymail.backends.sendgrid.EmailBackend"},
    "BATCH_SIZE": 1_000,
    "LOG_LEVEL": 1,  # failures only: a log row for each success would cost more
}
ANYMAIL = {"SENDGRID_API_KEY": "SG.benchmark", "SENDGRID_API_URL": f"{material.SINK}/v3/"}
