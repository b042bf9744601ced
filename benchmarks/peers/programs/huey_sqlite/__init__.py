"""huey on SQLite that waits for the disk: a task per recipient renders with Jinja2 and posts."""
