"""Scripts of one's own behind the same port: any Streamlit app unchanged, and the one that `aweigh eject` writes."""

import subprocess
import sys

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.needs("chromium")

MAIN = """
import argparse
from pathlib import Path

import streamlit as st
from beside import greeting

parser = argparse.ArgumentParser()
parser.add_argument("--name", default="nobody")
st.set_page_config(page_title="Mine")
st.title(greeting(parser.parse_args().name))
st.text(f"secret {st.secrets['token']}, colour {st.get_option('theme.primaryColor')}, "
        f"limit {st.get_option('server.maxUploadSize')}")
st.text((Path(__file__).parent / "data.txt").read_text())


@st.cache_resource
def shared():
    return {"made": 0}


st.session_state.setdefault("clicks", 0)
if st.button("More"):
    st.session_state.clicks += 1
    shared()["made"] += 1
st.text(f"{st.session_state.clicks} clicks, {shared()['made']} made")
file = st.file_uploader("A file")
if file:
    st.text(f"{len(file.getvalue())} bytes")
st.download_button("Take", "a,b\\n1,2\\n", file_name="taken.csv")
"drawn by magic"
"""

SECOND = """
import streamlit as st
from beside import greeting

st.title(greeting("the second page"))
st.text(f"{st.session_state.clicks} clicks")
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    (folder / "app.py").write_text(MAIN)
    (folder / "beside.py").write_text('def greeting(whom):\n    return f"Hello, {whom}"\n')
    (folder / "data.txt").write_text("read from beside the script")
    (folder / "pages").mkdir()
    (folder / "pages" / "1_Second.py").write_text(SECOND)
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(
        '[theme]\nprimaryColor = "#aa3300"\n[server]\nmaxUploadSize = 3\n'
    )
    (folder / ".streamlit" / "secrets.toml").write_text('token = "hush"\n')
    return folder / "app.py"


def test_any_streamlit_script_runs_unchanged(browser, serve, script):
    server = serve(script)
    page = browser.new_page()
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Hello, nobody")).to_be_visible()
    expect(page).to_have_title("Mine")
    expect(page.get_by_text("secret hush, colour #aa3300, limit 3")).to_be_visible()
    expect(page.get_by_text("read from beside the script")).to_be_visible()
    expect(page.get_by_text("drawn by magic")).to_be_visible()
    page.get_by_role("button", name="More").click()
    expect(page.get_by_text("1 clicks, 1 made")).to_be_visible()
    page.locator("input[type=file]").set_input_files(script)
    expect(page.get_by_text(f"{script.stat().st_size} bytes")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Take").click()
    assert download.value.path().read_text() == "a,b\n1,2\n"
    page.get_by_role("link", name="Second").click()
    expect(page.get_by_role("heading", name="Hello, the second page")).to_be_visible()
    expect(page.get_by_text("1 clicks")).to_be_visible()
    page.close()
    server.stop()


def test_an_ejected_app_is_served_beside_its_model(browser, serve, bundle, tmp_path):
    subprocess.run([sys.executable, "-m", "aweigh", "eject", str(bundle), "-o", str(tmp_path)], check=True)
    server = serve(bundle, "--app", tmp_path / "app.py")
    page = browser.new_page()
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Penguins of the Palmer Archipelago")).to_be_visible()
    row = {"bill_length_mm": 44.5, "bill_depth_mm": 17.3, "flipper_length_mm": 197, "body_mass_g": 4050}
    row |= {"year": 2008, "island": "Biscoe", "sex": "male"}
    expect(page.get_by_test_id("stMetricValue")).to_have_text(server.predict(row)[0]["label"])
    given = tmp_path / "two.csv"
    given.write_text(",".join(row) + "\n" + 2 * (",".join(map(str, row.values())) + "\n"))
    page.get_by_role("link", name="Many rows at once").click()
    page.locator("input[type=file]").set_input_files(given)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("species,probability_Adelie")
    assert [line.split(",")[0] for line in lines[1:]] == 2 * [server.predict(row)[0]["label"]]
    page.close()
    server.stop()
