"""django-post-office with its own queue tables, and anymail's SendGrid backend."""
