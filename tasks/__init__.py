"""One retryable unit of work each: ten-line ``@task`` wrappers over what the services do."""
