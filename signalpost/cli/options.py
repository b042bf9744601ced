"""Options and arguments that several commands share."""

from typing import Annotated, Optional

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Person = Annotated[
    str, typer.Argument(help="Customer id, user id, email, phone, order id or another key.")
]
Campaign = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, or a campaign's name: its latest run.")
]
By = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this at run time
    typer.Option(help="Who does it, kept on the record; the login name when left out."),
]
