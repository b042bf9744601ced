# pyright: reportMissingImports=false
"""The row for each message: intent before the call, outcome after it."""

from django.db import models


class Message(models.Model):
    """One message for one recipient."""

    message_id = models.CharField(max_length=36, unique=True)
    address = models.EmailField()
    headers = models.JSONField()
    words = models.JSONField()
    status = models.CharField(max_length=10, default="queued", db_index=True)
    provider_id = models.CharField(max_length=100, default="")
    changed_at = models.DateTimeField(auto_now=True)
