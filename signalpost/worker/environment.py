"""The environment of every Prefect process of ours: its own home, loopback, nothing sent out."""

from pathlib import Path

#: Seconds a risk worker waits for one answer of Prefect before it goes on without.
RISK_REQUEST_TIMEOUT = 1.5
#: The same for the lanes that rather wait.
REQUEST_TIMEOUT = 10.0


def prefect_environment(state_dir: Path, port: int, *, host: str = "127.0.0.1") -> dict[str, str]:
    """Give the ``PREFECT_*`` variables for the server, the workers and the command line.

    The user's own ``~/.prefect`` is never touched: another version may have written it.
    """
    return {
        "PREFECT_HOME": str((state_dir / "prefect").resolve()),
        "PREFECT_API_URL": f"http://{host}:{port}/api",
        "PREFECT_SERVER_API_HOST": host,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": f"http://{host}:{port}/api",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # nothing here reaches outside
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "DO_NOT_TRACK": "1",
        # a run's logs reach the UI in batches; the terminal stays quiet
        "PREFECT_LOGGING_TO_API_ENABLED": "true",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "2",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
        "PREFECT_LOGGING_COLORS": "false",
        # what a run returns stays in our own record
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    }


def worker_environment(*, risk: bool) -> dict[str, str]:
    """Give what a worker process adds: it decides for itself when to try Prefect again."""
    return {
        "PREFECT_CLIENT_MAX_RETRIES": "0" if risk else "1",
        "PREFECT_API_REQUEST_TIMEOUT": str(RISK_REQUEST_TIMEOUT if risk else REQUEST_TIMEOUT),
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",  # it would need Prefect at the start
    }
