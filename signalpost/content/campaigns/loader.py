"""Loading ``deployments/campaigns/``: every file by itself, so that a bad one hides no other."""

from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from signalpost.content.campaigns import checking, consistency, problems, schema
from signalpost.content.campaigns.page import Page, Place, read
from signalpost.content.campaigns.part import nearest
from signalpost.content.catalogue import Catalogue
from signalpost.content.errors import ContentError, Problem
from signalpost.domain.campaign import Campaign
from signalpost.errors import NotFoundError


class NoSuchCampaign(NotFoundError, KeyError):  # noqa: N818  named by what is the case
    """There is no campaign of that name, or its file cannot be used; the text says which."""

    def __str__(self) -> str:
        return str(self.args[0])


class Definition(dict[str, Any]):
    """What a file says as plain JSON, with the lines on which it says so."""

    def __init__(self, told: Mapping[str, Any], page: Page) -> None:
        super().__init__(told)
        self.file = page.file
        self.lines: dict[Place, int] = page.lines


class Campaigns(Mapping[str, Campaign]):
    """The campaigns of a folder, by name.

    ``problems``: what is wrong with the files whose campaigns are not among them. ``warnings``: what is
    odd about those that are.
    """

    def __init__(
        self,
        folder: Path,
        found: Mapping[str, Campaign],
        problems: tuple[Problem, ...] = (),
        warnings: tuple[Problem, ...] = (),
    ) -> None:
        self.folder = folder
        self.problems = problems
        self.warnings = warnings
        self._found = dict(found)

    def __getitem__(self, name: str) -> Campaign:
        try:
            return self._found[name]
        except KeyError:
            raise NoSuchCampaign(self._missing(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _missing(self, name: str) -> str:
        file = f"{self.folder.name}/{name}.yaml"
        wrong = [str(problem) for problem in self.problems if problem.file == file]
        if wrong:
            return f"The campaign {name!r} cannot be used until its file is right:\n" + "\n".join(
                wrong
            )
        near = nearest(name, self._found)
        known = ", ".join(self._found) or "none"
        return f"There is no campaign {name!r} in {self.folder.name}/; " + (
            f"did you mean {near!r}?" if near else f"there are: {known}."
        )


class Folder(Mapping[str, Campaign]):
    """A folder of campaign files, read again when one of them has changed, came or went.

    As a mapping, its good campaigns by name, as their files are at that moment.
    """

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        self.path = path
        self._catalogue = catalogue
        self._found: Campaigns | None = None
        self._seen: object = None

    def read(self) -> Campaigns:
        """Return the campaigns as their files are now; ``problems`` says what is wrong with others."""
        now = [_stamp(path) for path in _files(self.path)]
        if self._found is None or now != self._seen:
            self._found, self._seen = load(self.path, self._catalogue, broken="collect"), now
        return self._found

    def has_file(self, name: str) -> bool:
        """Say whether there is a file of this name, right or wrong."""
        return (self.path / f"{name}.yaml").is_file()

    def __getitem__(self, name: str) -> Campaign:
        return self.read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())

    def items(self) -> ItemsView[str, Campaign]:
        """Give names and campaigns, all as they are at one moment."""
        return self.read().items()


def load(
    folder: Path, catalogue: Catalogue, *, broken: Literal["raise", "collect"] = "raise"
) -> Campaigns:
    """Return the campaigns of a folder; a folder that is not there holds none.

    Only what a file says by itself and beside the message folders is looked at. Whether it is in time,
    and the other campaigns that it names, is for ``check``: those that have run need no file.

    Raises:
        ContentError: a file is wrong; lists every problem of every file. With ``broken="collect"`` the
            good campaigns are returned, and ``problems`` says what is wrong with the others.
    """
    folder = Path(folder)
    pages = {path: _page(path, folder) for path in _files(folder)}
    told = {path: _read(page, path, catalogue) for path, page in pages.items()}
    found = {one.name: one for one in told.values() if one is not None}
    warnings: list[Problem] = []
    for path, campaign in told.items():
        if campaign is not None:
            seen = checking.against_words(campaign, catalogue)
            warnings += [one for one in seen if checking.is_warning(one)]
            wrong = [one for one in seen if not checking.is_warning(one)]
            pages[path].problems += wrong
            if wrong:
                del found[campaign.name]
    problems_ = tuple(sorted(one for page in pages.values() for one in page.problems))
    if problems_ and broken == "raise":
        raise ContentError(problems_)
    return Campaigns(folder, found, problems_, tuple(sorted(warnings)))


def lint(campaigns: Campaigns, catalogue: Catalogue, now: datetime) -> list[Problem]:
    """Return everything that is wrong or odd in a folder at a moment, sorted by file and line."""
    found = {*campaigns.problems, *campaigns.warnings}
    known = {Path(problem.file).stem for problem in campaigns.problems} | set(campaigns)
    for campaign in campaigns.values():
        found.update(checking.check(campaign, catalogue, now, campaigns=known))
    return sorted(found)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    endings = (".yaml", ".yml")
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and not path.name.startswith((".", "_"))
    )


def _stamp(path: Path) -> tuple[Path, int, int]:
    try:
        found = path.stat()
    except OSError:  # gone just now, or a link to nowhere: reading it says so
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_size


def _page(path: Path, folder: Path) -> Page:
    page = read(path, file=f"{folder.name}/{path.name}")
    if path.suffix != ".yaml":
        page.report(1, "name", "the file's name does not end with .yaml", "rename it")
    return page


def _read(page: Page, path: Path, catalogue: Catalogue) -> Campaign | None:
    """Read one file; None, and problems on the page, when it makes no campaign."""
    if page.data is None:
        return None
    if not isinstance(page.data, dict):
        page.report(1, "syntax", "the file holds no keys", "start with name: and message:")
        return None
    try:
        file = schema.CampaignFile.model_validate(page.data)
    except ValidationError as error:
        problems.report(error, page)
        _check_name(page.data.get("name"), path, page)
        return None
    _check_name(file.name, path, page)
    consistency.report(file, page)
    if not file.words():
        return None
    campaign = _named(file, catalogue, page)
    return None if page.problems else campaign


def _check_name(name: object, path: Path, page: Page) -> None:
    if isinstance(name, str) and name != path.stem:
        says = f"the campaign is called {name[:60]!r} and its file {path.name!r}"
        page.report(page.line(("name",)), "name", says, "give both one name")


def _named(file: schema.CampaignFile, catalogue: Catalogue, page: Page) -> Campaign | None:
    """Make the campaign, with the purpose and the topic of its message."""
    if file.words() not in catalogue:
        checking.report_unknown_message(file, catalogue, page)
        return None
    spec = catalogue[file.words()]
    for key, own in (("purpose", spec.purpose), ("topic", spec.topic)):
        said = getattr(file, key)
        if said not in (None, own):
            says = (
                f"`{key}` is {str(said)!r}, and that of the message {spec.name!r} is {str(own)!r}"
            )
            page.report(page.line((key,)), key, says, f"remove the line, or write {key}: {own}")
    whole = file.model_copy(update={"purpose": spec.purpose, "topic": spec.topic})
    definition = Definition(whole.definition(), page)
    return replace(whole.campaign(definition), definition=definition)
