"""What an operator types for what a page shows: ids only, so that no address ends up in a shell."""


def redrive(found_id: str) -> str:
    """The command that tries a parked event, or somebody who was set aside, again."""
    return f"signalpost redrive {found_id}"


def merge(kept_id: str, other_id: str) -> str:
    """The command that makes one person of two customers; the reason is to be filled in."""
    return f'signalpost merge {kept_id} {other_id} --reason "…"'


def unmerge(merge_id: str) -> str:
    """The command that undoes a merge."""
    return f"signalpost unmerge {merge_id}"


def campaign(verb: str, run_id: str) -> str:
    """The command that does something to a campaign's run: approve, pause, resume …."""
    return f"signalpost campaign {verb} {run_id}"


def resolve(message_id: str) -> str:
    """The command that takes an operator's word on an unknown message; which word is to be chosen."""
    return f"signalpost resolve {message_id} --as not-sent|abandoned"
