"""Celery, Redis, Django and anymail: a task per recipient, as most Django shops do it."""
