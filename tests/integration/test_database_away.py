"""When the database is away: 503 with Retry-After, on pages and in JSON, and no detail of ours."""

from pathlib import Path

from fastapi.testclient import TestClient

from tests.integration.pages_harness import KEY, open_site


def test_every_door_says_come_again_when_the_database_is_away(tmp_path: Path) -> None:
    with open_site(tmp_path) as site:
        client = TestClient(site.app, follow_redirects=False)
        client.post("/login", data={"key": KEY})
        with site.product.database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE customers RENAME TO gone")
        page = client.get(f"/customers/{site.story.jane}", headers={"accept": "text/html"})
        told = client.get("/v1/customers/x", headers={"authorization": f"Bearer {KEY}"})
    for answer in (page, told):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "customers" not in answer.text.replace("/customers", "").replace("the customers", "")
    assert "Out for a moment" in page.text
