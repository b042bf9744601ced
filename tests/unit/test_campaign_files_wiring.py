"""The product knows the campaigns of its folder, and starts also when one of them is wrong."""

from pathlib import Path

import pytest

from signalpost import bootstrap, settings
from signalpost.content import Catalogue
from signalpost.content.campaigns import Folder
from signalpost.errors import NotFoundError

ROOT = Path(__file__).parents[2]
CATALOGUE = Catalogue.load(ROOT / "templates")


def build(tmp_path, **given):
    found = settings.load(home=tmp_path, templates=ROOT / "templates", **given)
    product = bootstrap.build(found, journeys=(), catalogue=CATALOGUE)
    product.close()
    return product.desk.campaigns


def test_the_desk_has_the_campaigns_of_the_folder(tmp_path):
    campaigns = build(tmp_path, campaigns=ROOT / "deployments" / "campaigns")
    assert campaigns["win-back"].message == "win_back"


def test_no_folder_is_no_campaigns(tmp_path):
    assert dict(build(tmp_path, campaigns=tmp_path / "nowhere")) == {}


def test_a_slip_in_one_file_stops_neither_the_product_nor_the_other_campaigns(tmp_path):
    folder = tmp_path / "campaigns"
    folder.mkdir()
    text = (ROOT / "deployments" / "campaigns" / "win-back.yaml").read_text("utf-8")
    (folder / "win-back.yaml").write_text(text, "utf-8")
    (folder / "odd.yaml").write_text("name: odd\nmesage: win_back\n", "utf-8")
    campaigns = build(tmp_path, campaigns=folder)
    assert list(campaigns) == ["win-back"]
    with pytest.raises(NotFoundError, match=r"odd.yaml:2: .*Did you mean message"):
        campaigns["odd"]


def test_the_product_knows_the_campaigns_as_their_files_are_at_any_moment(tmp_path):
    """A worker goes on for weeks, and plans beside what marketers add meanwhile."""
    folder = tmp_path / "campaigns"
    campaigns = build(tmp_path, campaigns=folder)
    assert dict(campaigns) == {}
    folder.mkdir()
    text = (ROOT / "deployments" / "campaigns" / "win-back.yaml").read_text("utf-8")
    (folder / "win-back.yaml").write_text(text, "utf-8")
    assert list(dict(campaigns.items())) == ["win-back"]
    assert len(campaigns) == 1
    assert campaigns["win-back"].message == "win_back"


def test_a_folder_is_read_again_when_a_file_of_it_changed_came_or_went(tmp_path):
    text = (ROOT / "deployments" / "campaigns" / "win-back.yaml").read_text("utf-8")
    folder = Folder(tmp_path / "campaigns", CATALOGUE)
    assert dict(folder.read()) == {}
    folder.path.mkdir()
    (folder.path / "win-back.yaml").write_text(text, "utf-8")
    found = folder.read()
    assert list(found) == ["win-back"]
    assert folder.read() is found, "nothing changed, so that nothing was read"
    (folder.path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    assert list(folder.read()) == ["win-back"]
    [problem] = folder.read().problems
    assert "gone.yaml:1: [file] the file cannot be read" in str(problem)
    (folder.path / "win-back.yaml").unlink()
    assert dict(folder.read()) == {}
