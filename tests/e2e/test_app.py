"""The app in a real browser, on the real server: what people see, type, drop and take away."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect
from tests.partly import partly_slow

from aweigh.cli.demo import CHOICES, NUMBERS
from aweigh.data import penguins_path

pytestmark = pytest.mark.needs("chromium")

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


def asked_row(page):
    """Return the row that the page says it asked for."""
    command = page.locator("[data-copy-text*='curl']").get_attribute("data-copy-text")
    return json.loads(re.search(r"-d '(.*)'\s*$", command, re.DOTALL)[1])["rows"][0]


def expect_answer(page, prediction):
    """Hold what the page shows against a prediction of the API."""
    expect(page.locator(".aw-value strong")).to_have_text(prediction["label"])
    shown = [text.split("\n") for text in page.locator(".aw-bars li").all_inner_texts()]
    assert {name: round(share * 100) for name, share in prediction["probabilities"].items()} == {
        lines[0]: int(re.sub(r"\D", "", lines[-1])) for lines in shown if not lines[-1].startswith(("<", ">"))
    } | {
        lines[0]: round(prediction["probabilities"][lines[0]] * 100)
        for lines in shown
        if lines[-1].startswith(("<", ">"))
    }


def settled(page, name, value):
    """Wait until the page has asked with this value."""
    page.wait_for_function(
        "([name, value]) => { const text = document.querySelector(\"[data-copy-text*='curl']\")?.dataset.copyText;"
        " return text && JSON.parse(text.match(/-d '(.*)'\\s*$/s)[1]).rows[0][name] === value }",
        arg=[name, value],
    )


def test_the_first_sight_is_an_answer(open_page, server):
    page = open_page()
    expect(page).to_have_title("Penguins of the Palmer Archipelago")
    expect(page.get_by_role("heading", level=1)).to_have_text("Penguins of the Palmer Archipelago")
    row = asked_row(page)
    assert row["bill_length_mm"] == 44.5
    expect_answer(page, server.predict(row)[0])
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_role("button", name="Clearly Chinstrap").click()
    expect(page.locator(".aw-value strong")).to_have_text("Chinstrap")
    expect_answer(page, server.predict(asked_row(page))[0])


def test_the_keyboard_alone_suffices(open_page, server):
    page = open_page()
    expect(page.locator(".aw-value")).to_be_visible()

    def tab_to(label, role=None):
        for _ in range(40):
            page.keyboard.press("Tab")
            focus = page.evaluate(
                "() => { const e = document.activeElement, s = getComputedStyle(e);"
                " if (e === document.body) return null;"
                " let seen = s.outlineStyle !== 'none' || s.boxShadow !== 'none';"
                " for (let p = e.parentElement; p && !seen; p = p.parentElement)"
                "   { const t = getComputedStyle(p); seen = t.outlineStyle !== 'none' && p.matches(':focus-within') }"
                " return [e.getAttribute('aria-label') || e.innerText, e.getAttribute('role') || e.type, seen] }"
            )
            if focus is None:
                continue
            assert focus[2], f"no visible focus on {focus}"
            if focus[0] == label and role in {None, focus[1]}:
                return
        pytest.fail(f"{label} cannot be reached by Tab")

    tab_to("Bill length", "number")
    page.keyboard.press("Control+A")
    page.keyboard.type("51.3")
    page.keyboard.press("Enter")
    settled(page, "bill_length_mm", 51.3)
    tab_to("Body mass unknown", "checkbox")
    page.keyboard.press("Space")
    settled(page, "body_mass_g", None)
    tab_to("Biscoe", "radio")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    settled(page, "island", "Dream")
    row = asked_row(page)
    assert (row["bill_length_mm"], row["body_mass_g"], row["island"]) == (51.3, None, "Dream")
    expect_answer(page, server.predict(row)[0])


def test_unseen_is_said_unknown_is_no_zero_and_the_link_reopens_it_all(open_page, server):
    page = open_page()
    box = page.get_by_label("Bill length", exact=True)
    box.fill("75.25")
    box.press("Enter")
    settled(page, "bill_length_mm", 75.25)
    expect(page.locator(".st-key-field-0 .aw-unusual, [class*='st-key-field-'] .aw-unusual").first).to_contain_text(
        "75.25 mm lies outside what the model has seen"
    )
    page.get_by_label("Flipper length unknown").dispatch_event("click")
    settled(page, "flipper_length_mm", None)
    page.get_by_role("radiogroup", name="Sex").get_by_role("radio", name="Unknown").click()
    settled(page, "sex", None)
    row = asked_row(page)
    expect_answer(page, server.predict(row)[0])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server.url}/?")
    again = open_page(link.removeprefix(server.url))
    settled(again, "bill_length_mm", 75.25)
    assert asked_row(again) == row
    expect(again.get_by_label("Bill length", exact=True)).to_have_value("75.25")
    expect(again.get_by_label("Flipper length", exact=True)).to_have_value("")
    again.get_by_role("button", name="Copy as Python").click()
    code = again.evaluate("navigator.clipboard.readText()")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(ran.stdout) == server.predict(row)[0]


HEADER = ["id", "remark", *CHOICES, *NUMBERS]


def rows_to_drop():
    """Return the penguins with an id, remarks that a spreadsheet would run, a cell too bad to read, one never seen."""
    rows = list(csv.DictReader(penguins_path().read_text().splitlines()))
    remarks = {0: "=1+1", 1: "@x", 2: "-5"}
    for i, row in enumerate(rows):
        row |= {"id": str(i), "remark": remarks.get(i, "ok")}
    rows[4]["bill_length_mm"] = "long"
    rows[20]["bill_length_mm"] = "75"
    return rows


def test_a_csv_comes_back_with_the_apis_answers(open_page, server, tmp_path):
    rows = rows_to_drop()
    given = tmp_path / "birds.csv"
    with given.open("w", newline="") as file:
        writer = csv.DictWriter(file, HEADER, delimiter=";", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    page = open_page("/batch")
    with page.expect_download() as template:
        page.get_by_role("button", name="Get a template").click()
    assert template.value.path().read_text("utf-8-sig").splitlines()[0] == ",".join([*CHOICES, *NUMBERS])
    page.locator("input[type=file]").set_input_files(given)
    expect(page.get_by_text("7 of 7 inputs found, 2 other columns carried along")).to_be_visible()
    expect(page.locator(".aw-bad")).to_contain_text("1 cell in 1 row cannot be read.")
    page.get_by_role("button", name="Answer 343 rows of 344").click()
    expect(page.locator(".aw-summary")).to_contain_text(
        "343 answers, 2 rows with something that the model has not seen"
    )
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "birds-answers.csv"
    found = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    sent = [{name: row[name] for name in (*CHOICES, *NUMBERS)} for row in rows]
    sent[4]["bill_length_mm"] = ""
    body = io.StringIO()
    writer = csv.DictWriter(body, [*CHOICES, *NUMBERS])
    writer.writeheader()
    writer.writerows(sent)
    asked = httpx.post(
        f"{server.url}/v1/predict", content=body.getvalue(), headers={"Content-Type": "text/csv"}, trust_env=False
    ).json()["predictions"]
    for i, (row, prediction) in enumerate(zip(found, asked, strict=True)):
        if i == 4:
            assert (row["species"], row["note"]) == ("", "not answered: expected a number, got 'long'")
            continue
        assert row["species"] == prediction["label"]
        assert float(row["probability_Gentoo"]) == prediction["probabilities"]["Gentoo"]
    assert [found[i]["remark"] for i in range(4)] == ["'=1+1", "'@x", "-5", "ok"]
    assert found[20]["note"].startswith("Bill length: 75 mm lies outside")
    assert (found[7]["body_mass_g"], found[7]["id"]) == (rows[7]["body_mass_g"], "7")
    page.get_by_role("radio", name="Flagged 3").click()
    expect(page.get_by_role("radio", name="Flagged 3")).to_have_attribute("aria-checked", "true")
    page.get_by_role("link", name="Model").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("About this model")
    page.get_by_role("link", name="Batch").click()
    expect(page.locator(".aw-summary")).to_contain_text("343 answers")


def test_parquet_goes_in_and_comes_out(open_page, server, tmp_path):
    frame = pd.read_csv(penguins_path()).drop(columns="species").head(50)
    given = tmp_path / "birds.parquet"
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), given)
    page = open_page("/batch", viewport=PHONE, scheme="dark")
    page.locator("input[type=file]").set_input_files(given)
    page.get_by_role("button", name="Answer 50 rows").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Parquet").click()
    table = pq.read_table(download.value.path())
    rows = json.loads(frame.to_json(orient="records"))
    predictions = server.predict(*rows)
    assert table["species"].to_pylist() == [one["label"] for one in predictions]
    assert table["probability_Adelie"].to_pylist() == [one["probabilities"]["Adelie"] for one in predictions]
    assert table["bill_length_mm"].to_pylist()[:3] == frame["bill_length_mm"].tolist()[:3]
    assert no_sideways_scroll(page)


def no_sideways_scroll(page):
    return page.evaluate(
        "() => [document.documentElement, document.querySelector('[data-testid=stMain]')]"
        ".every(e => e.scrollWidth <= e.clientWidth)"
    )


@pytest.mark.parametrize("path", partly_slow("/batch", slow=["/", "/model"]))
def test_a_phone_needs_no_sideways_scroll(open_page, path):
    page = open_page(path, viewport=PHONE)
    expect(page.locator(".aw-footer")).to_be_visible()
    assert no_sideways_scroll(page)


def test_on_a_phone_the_answer_comes_first_and_stays(open_page):
    page = open_page("/", viewport=PHONE)
    answer, box = page.locator(".aw-answer"), page.get_by_label("Bill length", exact=True)
    expect(answer).to_be_visible()
    assert answer.bounding_box()["y"] < box.bounding_box()["y"]
    assert answer.bounding_box()["height"] < PHONE["height"] / 5
    page.locator(".aw-footer").scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    expect(answer).to_be_in_viewport()
    assert answer.bounding_box()["y"] < 20


def test_on_a_desk_the_answer_stands_beside_the_inputs_and_stays(open_page):
    page = open_page("/", viewport={"width": 1280, "height": 420})
    answer, box = page.locator(".aw-answer"), page.get_by_label("Bill length", exact=True)
    expect(answer).to_be_visible()
    assert answer.bounding_box()["x"] > box.bounding_box()["x"] + box.bounding_box()["width"]
    example = page.get_by_role("button", name="Clearly Chinstrap").bounding_box()
    assert example["y"] + example["height"] < box.bounding_box()["y"]
    assert abs(example["y"] - answer.bounding_box()["y"]) < example["height"]
    page.get_by_role("radiogroup", name="Sex").scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    expect(answer).to_be_in_viewport()


CONTRAST = """() => {
  const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number)
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
  const over = (top, under) => { const a = top[3] ?? 1; return [0, 1, 2].map(i => a * top[i] + (1 - a) * under[i]) }
  const ground = element => {
    const layers = []
    for (let e = element; e; e = e.parentElement) layers.push(numbers(getComputedStyle(e).backgroundColor))
    return layers.reverse().reduce((under, top) => top.length ? over(top, under) : under, [255, 255, 255])
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const elements = new Set()
  while (walker.nextNode()) if (walker.currentNode.data.trim()) elements.add(walker.currentNode.parentElement)
  document.querySelectorAll("input").forEach(e => elements.add(e))
  for (const element of elements) {
    const style = getComputedStyle(element), box = element.getBoundingClientRect()
    if (box.width < 2 || box.height < 2 || style.visibility !== "visible" || parseFloat(style.fontSize) < 1) continue
    if (element.closest(".aw-hidden, script, style, noscript, canvas, [aria-hidden=true] svg, :disabled")) continue
    if (style.clipPath !== "none" || element.closest("pre")) continue
    let opacity = 1
    for (let e = element; e; e = e.parentElement) opacity *= parseFloat(getComputedStyle(e).opacity)
    const under = ground(element), colour = numbers(style.color)
    colour[3] = (colour[3] ?? 1) * opacity
    const pair = [luminance(over(colour, under)), luminance(under)].sort((a, b) => b - a)
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05)
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700)
    const what = element.tagName + "." + element.className
    found.push([ratio, large ? 3 : 4.5, what, (element.innerText || "").slice(0, 40)])
  }
  return found
}"""


@pytest.mark.parametrize("scheme", partly_slow("dark", slow=["light"]))
def test_every_text_has_the_contrast_that_aa_asks(open_page, scheme, tmp_path):
    page = open_page("/?bill_length_mm=99&body_mass_g=~", scheme=scheme)
    expect(page.locator(".aw-footer")).to_be_visible()
    hold_contrast(page)
    page.get_by_role("link", name="Batch").click()
    given = tmp_path / "bad.csv"
    given.write_text("isle,year,id\nDream,soon,1\nDream,2008,2\n")
    page.locator("input[type=file]").set_input_files(given)
    page.get_by_role("button", name="Read Island").click()
    expect(page.locator(".aw-bad")).to_be_visible()
    hold_contrast(page)
    page.get_by_role("link", name="Model").click()
    expect(page.locator(".aw-proof")).to_be_visible()
    hold_contrast(page)
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 128) == (scheme == "dark")


def hold_contrast(page):
    page.wait_for_timeout(400)  # what fades in while Streamlit runs
    found = page.evaluate(CONTRAST)
    assert len(found) > 10
    assert [one for one in found if one[0] < one[1] - 0.02] == []


NAMES = """() => [...document.querySelectorAll("input, button, a, select, textarea, [role=radio], [role=radiogroup]")]
  .filter(e => e.getClientRects().length && !e.closest("[data-testid=stDataFrame], [aria-hidden=true]"))
  .filter(e => !(e.getAttribute("aria-label") || e.innerText || e.title || e.labels?.length && e.labels[0].innerText
                 || e.getAttribute("aria-labelledby")))
  .map(e => e.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("path", partly_slow("/", slow=["/batch", "/model"]))
def test_everything_has_a_name_and_the_page_an_order(open_page, path):
    page = open_page(path)
    expect(page.locator(".aw-footer")).to_be_visible()
    assert page.evaluate(NAMES) == []
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("main").count() == 1
    current = page.locator("[aria-current=page]")
    expect(current).to_have_count(1)
    assert page.title().split(" · ")[0] in {current.inner_text(), "Penguins of the Palmer Archipelago"}
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("img:not([alt])").count() == 0


def test_a_new_answer_is_said_aloud(open_page):
    page = open_page()
    expect(page.locator(".aw-value")).to_be_visible()
    page.get_by_role("button", name="Clearly Chinstrap").click()
    expect(page.locator("body > [role=status]")).to_contain_text("Chinstrap, ")


def test_inputs_outlive_a_restart_of_the_server(browser, serve, bundle):
    server = serve(bundle)
    page = browser.new_page(viewport=DESKTOP)
    page.goto(server.url)
    box = page.get_by_label("Bill length", exact=True)
    box.fill("50.5")
    box.press("Enter")
    settled(page, "bill_length_mm", 50.5)
    server.stop(signal.SIGKILL)
    expect(page.get_by_role("alert").filter(has_text="The connection is lost")).to_be_visible(timeout=10_000)
    server.start()
    expect(page).to_have_url(re.compile("[?&]bill_length_mm=50.5"), timeout=30_000)
    settled(page, "bill_length_mm", 50.5)
    expect(page.get_by_text("The connection is lost")).to_be_hidden()
    page.close()
    server.stop()
