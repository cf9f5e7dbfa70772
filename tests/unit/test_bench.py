"""What the performance page is made with: stages, sentences, goals and pictures from figures."""

import json
import re
import sys
import time
import xml.etree.ElementTree as ET

import pytest
from bench import (
    chapters,
    drawing,
    extraction_page,
    goals,
    models,
    ray_chapter,
    results,
    servers,
    soak,
    soak_client,
    stages,
)
from bench.drawing import Bar, Curve, Panel
from bench.places import PEERS

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(one.itertext()) for one in ET.fromstring(svg).iter(f"{SVG}text")]


# -- the peers -------------------------------------------------------------------------------------------------------

ROWS = [{"x": 1.5, "city": "oslo"}, {"x": 2, "city": "rome"}]


def test_every_peer_is_pinned_and_names_no_index():
    assert {path.stem for path in PEERS.glob("*.txt")} == {kind.name for kind in servers.PEER_KINDS} | {"art"}
    for path in PEERS.glob("*.txt"):
        lines = path.read_text().splitlines()
        assert [one for one in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", one)] == []
        assert "scikit-learn==1.9.1" in lines


@pytest.mark.parametrize(
    ("name", "sent", "answer"),
    [
        (
            "mlflow",
            {"dataframe_split": {"columns": ["x", "city"], "data": [[1.5, "oslo"], [2, "rome"]]}},
            {"predictions": [[0.75, 0.25], [0.5, 0.5]]},
        ),
        (
            "mlserver",
            {
                "inputs": [
                    {"name": "x", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2]},
                    {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["oslo", "rome"]},
                ]
            },
            {"outputs": [{"shape": [2, 2], "data": [0.75, 0.25, 0.5, 0.5]}]},
        ),
        ("gradio", {"data": [ROWS]}, {"data": [[0.25, 0.5]]}),
        ("ray", {"rows": ROWS}, {"proba": [0.25, 0.5]}),
    ],
)
def test_each_peer_is_asked_and_read_in_its_own_words(name, sent, answer):
    kind = servers.KINDS[name]
    assert kind.body(ROWS) == sent
    assert kind.answers(answer) == [0.25, 0.5]


ANSWERS_WHAT_WAS_PREPARED = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = pathlib.Path("prepared").read_bytes()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "MODELS", tmp_path)
    monkeypatch.setattr(servers, "CACHE", tmp_path)
    (tmp_path / "toy.json").write_text(json.dumps({"rows": ROWS, "proba": [0.25, 0.5]}))
    return models.Model("T", "toy", "a toy")


def toy(prepare):
    command = [sys.executable, "-c", ANSWERS_WHAT_WAS_PREPARED]
    return servers.Kind("toy", "a toy", lambda _, __: command, prepare=(sys.executable, "-c", prepare))


def test_a_server_is_started_where_it_was_prepared_and_that_takes_none_of_its_time(model):
    prepare = "import time, pathlib; time.sleep(0.5); pathlib.Path('prepared').write_text('{\"proba\": [0.25]}')"
    begun = time.perf_counter()
    with servers.Server(toy(prepare), model, start_s=30) as server:
        assert server.start_seconds < time.perf_counter() - begun - 0.5
        assert server.post(b"{}") == (200, b'{"proba": [0.25]}')


def test_what_cannot_be_prepared_is_not_started_and_says_why(model):
    with pytest.raises(RuntimeError, match=r"(?s)toy cannot be prepared: it ended with 1\n.*no such format"):
        servers.Server(toy("raise SystemExit('no such format')"), model).__enter__()


def test_the_page_on_extraction_is_what_its_figures_make(root):
    made = extraction_page.page(results.read("extraction"), results.read("extraction_baseline"))
    assert (root / "docs/explanation/model-extraction.md").read_text(encoding="utf-8") == made


# -- where the time goes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stack", "stage"),
    [
        (["/x/src/aweigh/schema/decode_fast.py", "/x/src/aweigh/server/service.py"], stages.READ),
        (["/v/site-packages/numpy/_core/_methods.py", "/x/src/aweigh/models/onnx_read.py"], stages.OUT),
        (["/v/site-packages/onnxruntime/capi/x.py", "/x/src/aweigh/models/onnx.py"], stages.MODEL),
        (["<string>", "/x/src/aweigh/server/api.py"], stages.ROAD),
        (["/x/src/aweigh/server/a_lane_that_is_new.py"], stages.ROAD),
        (["/v/site-packages/uvicorn/protocols/http/httptools_impl.py"], stages.HTTP),
        (["/x/bench/one_request.py", "/x/src/aweigh/server/whole.py"], ""),
        (["/lib/python3/asyncio/runners.py"], None),
    ],
)
def test_time_belongs_to_who_spent_it_or_called_for_it(stack, stage):
    assert stages.stage_of(stack) == stage


def test_what_py_spy_wrote_is_read_from_the_inside_out():
    text = (
        "main (/p/aweigh/__main__.py:5);run (/p/uvicorn/server.py:9);decode (/p/aweigh/schema/decode.py:1) 30\n"
        "main (/p/aweigh/__main__.py:5) 10\n"
    )
    assert stages.read_stacks(text) == {stages.READ: 0.75, stages.KERNEL: 0.25}


def test_only_what_grew_beyond_the_tolerance_is_told():
    before = {"A": {"ratio": 2.0}, "C": {"ratio": 4.0}}
    assert stages.changed(before, {"A": {"ratio": 2.4}, "C": {"ratio": 1.0}}, tolerance=0.25) == []
    (told,) = stages.changed(before, {"A": {"ratio": 2.6}, "C": {"ratio": 5.0}}, tolerance=0.25)
    assert told.startswith("model A: 2.60 x the floor's CPU, +30% to the 2.00 x")


PROFILE = {
    "in_process": {"floor": {"us": 40.0}, "A": {"us": 50.0, "ratio": 1.25}, "C": {"us": 80.0, "ratio": 2.0}},
    "stages": {
        "floor": {stages.HTTP: 20.0, stages.FRAMEWORK: 20.0, stages.KERNEL: 10.0},
        "A": {stages.HTTP: 18.0, stages.READ: 12.0, stages.MODEL: 20.0, stages.KERNEL: 11.0},
        "C": {stages.HTTP: 20.0, stages.READ: 20.0, stages.MODEL: 40.0, stages.KERNEL: 12.0},
    },
    "live": {},
    "spied": {"A": {stages.READ: 0.2, stages.MODEL: 0.3, stages.HTTP: 0.5}, "C": {stages.MODEL: 0.7, stages.HTTP: 0.3}},
}


def test_the_profile_says_what_is_left_above_the_floor():
    text, pictures = chapters.profile(PROFILE)
    assert "| HTTP: request, event loop | 20.0 | 18.0 | -2.00 | 20.0 | +0 |" in text
    assert "| framework: routing, objects | 20.0 |  | -20.0 |  | -20.0 |" in text
    assert "| **all** | **50.0** | **61.0** | **+11.0** | **92.0** | **+42.0** |" in text
    assert "A 1.25 and C 2.00 times the floor" in text
    assert "A 50% (here 52%), C 70% (here 65%)" in text
    assert "40.0 µs" in texts(pictures["profile"])
    assert "py-spy" not in chapters.profile(PROFILE | {"spied": {}})[0]


# -- growth ----------------------------------------------------------------------------------------------------------

SIZE = {"start_s": 1.0, "bundle_bytes": 0, "pack_s": 30.4, "pack_mb": 3900.0}
GROWTH = {
    "rows": {
        "A": {"JSON": [[1, 0.1], [100, 0.5], [10000, 50.0]], "Arrow": [[1, 1.0], [100, 1.2], [10000, 11.0]]},
        "C": {"JSON": [[1, 0.2], [10000, 130.0]], "Arrow": [[1, 0.6], [10000, 129.0]]},
    },
    "columns": {"aweigh": [[1, 0.1], [1000, 1.8]], "the floor": [[1, 0.05], [1000, 0.2]]},
    "connections": {"A": [[1, 0.13], [500, 0.11]], "C": [[1, 0.2], [500, 0.26]], "the floor": [[1, 0.05], [500, 0.05]]},
    "sizes": [
        SIZE | {"model_bytes": 1000, "memory_mb": 48.0, "start_cpu_s": 0.23, "cpu_ms": 0.09},
        SIZE | {"model_bytes": 1_000_000, "memory_mb": 49.0, "start_cpu_s": 0.24, "cpu_ms": 0.09},
        SIZE | {"model_bytes": 524_288_000, "memory_mb": 1048.0, "start_cpu_s": 2.9, "cpu_ms": 0.1},
    ],
}


def test_each_curve_of_growth_has_its_sentence():
    text, pictures = chapters.growth(GROWTH)
    assert "as JSON 0.100 ms and 4.99 µs for each row more, as Arrow 1.00 ms and 1.00 µs for each row more" in text
    assert "0.100 ms at 1, 1.80 at 1,000; to the floor, which parses the same bytes, 2.00 and 9.00 times" in text
    assert (
        "from 1 to 500, a request costs: A 0.110 to 0.130 ms, C 0.200 to 0.260 ms, the floor 0.0500 to 0.0500 ms"
        in text
    )
    assert "1 kB to 524.288 MB: memory from 48.0 to 1,048 MB, 2.00 for each MB of the model" in text
    shown = texts(pictures["growth"])
    assert shown.count("JSON") == 2
    assert {"10k", "1M", "Memory of the server", "its bytes"} <= set(shown)


# -- the soak --------------------------------------------------------------------------------------------------------

SOAK = {
    "model": "C", "processes": 2, "seconds": 600.0, "connections": 32, "capacity_rps": 5000, "rate_rps": 4000,
    "answered": 2_400_000, "wrong": 0, "refused": {}, "broken": 30, "broken_at_kills": [16, 14], "not_let_in": 0,
    "cpu_ms": 0.25, "p50_ms": 2.0, "p99_ms": 300.0, "max_ms": 900.0, "kills": [20.0, 40.0], "back_s": [0.7, 0.9],
    "parent_slope_mb_per_hour": -1.5, "oldest_slope_mb_per_hour": 0.25,
    "memory": [[2.0, 200.0], [200.0, 190.0], [590.0, 201.0]], "oldest_memory": [[2.0, 80.0], [590.0, 80.1]],
    "parent_memory": [[2.0, 40.0], [590.0, 40.0]],
    "rates": [[2.0, 4000.0], [590.0, 4001.0]],
}  # fmt: skip


def test_the_soak_tells_what_failed_and_when():
    text, pictures = chapters.soak(SOAK)
    assert text.startswith("## 10 minutes, and a kill every 20 seconds")
    assert "| of them wrong | 0 |" in text
    assert "| requests that broke, under way at a process when it was killed | 30 |" in text
    assert "| requests that broke at any other time | 0 |" in text
    assert "| memory of all, median from 2.5 to 5 minutes, and of the last 2.5 | 190, 201 MB |" in text
    assert "| of the process that is never killed, slope after the first quarter | +0.250 MB an hour |" in text
    assert "| of the parent | -1.50 MB an hour |" in text
    assert {"all processes", "never killed", "parent", "200", "500 s"} <= set(texts(pictures["soak-memory"]))
    assert pictures["soak-answers"].count('class="mark"') == 2


@pytest.mark.parametrize(
    ("more", "met"),
    [
        ({}, True),
        ({"wrong": 1}, False),
        ({"broken": 31}, False),
        ({"refused": {"503": 1}}, False),
        ({"not_let_in": 1}, False),
    ],
)
def test_the_goal_of_the_soak(more, met):
    (line,) = [one for one in goals.lines({"soak": SOAK | more}) if "killed" in one.goal]
    assert line.met is met
    assert "of 2,400,000" in line.measured
    (unmeasured,) = [one for one in goals.lines({}) if "killed" in one.goal]
    assert unmeasured.met is None


@pytest.mark.parametrize(("longest", "said", "met"), [(0.75, "0.750", True), (1.25, "1.25", False)])
def test_the_goal_of_a_process_that_was_killed_is_its_longest_absence(longest, said, met):
    found = {"back_s": {"api": [0.5, 0.4, 0.45], "app": [0.25, longest, 0.5]}}
    (line,) = [one for one in goals.lines({"recovery": found}) if "of any process" in one.goal]
    assert line.met is met
    assert line.measured == f"of the API 0.500 s, of the app {said} s, the longest of 3 each"
    (unmeasured,) = [one for one in goals.lines({}) if "of any process" in one.goal]
    assert unmeasured.met is None
    more = {"model": "C", "workers": 2, "ui_processes": 2, "memory_mb": 300.0, "memory_after_mb": 301.0}
    text, _ = chapters.recovery(found | more)
    assert f"| of the app | 3 | 0.500 s | {said} s |" in text


def test_the_chapter_of_ray_compares_each_number_of_replicas_and_says_what_failed():
    one = {"cpu_ms": 2.0, "proxy_ms": 1.5, "replicas_ms": 0.25, "rps": 500.0, "p99_ms": 9.0, "bad": 0}
    servers = {"aweigh": {"1": one}, "batched": {"1": one | {"cpu_ms": 5.0}}}
    kill = {
        "killed": "a replica",
        "requests": 90,
        "failed": 2,
        "wrong": 0,
        "last_s": 0.5,
        "slowest_s": 0.25,
        "back_s": 3.5,
    }
    head = kill | {"killed": "the head, without one", "back_s": None, "answered_s": 12.5, "looked_s": 40.0}
    found = {"model": "A", "ray": "2.60.0", "connections": 32, "servers": servers, "faults": [kill, head]}
    text, pictures = ray_chapter.ray(found)
    assert "| a deployment by hand, with `serve.batch` | 1 | 5.00 | 2.50 x | 1.50 | 0.250 | 500 | 9.00 | 0 |" in text
    assert "| a replica | 2 of 90 | 0 | 0.500 s | 0.250 s | 3.50 s |" in text
    assert "went on answering until 12.5 s" in text
    assert "With HAProxy" not in text
    assert pictures == {}
    quick, _ = ray_chapter.ray(found | {"haproxy": {"fastapi": {"2": one | {"rps": 1234.0}}}})
    assert "| FastAPI as Ray Serve's ingress, by hand | 2 | 2.00 | - | 1.50 | 0.250 | 1,234 | 9.00 | 0 |" in quick


def test_a_slope_is_not_moved_by_one_odd_moment():
    points = [(float(t), 100 + t * 0.5) for t in range(100)]
    points[50] = (50.0, 10.0)
    assert soak.slope(points) == pytest.approx(0.5, abs=0.01)
    assert soak.slope([(0.0, 1.0)]) == 0.0


def test_what_an_answer_says_is_told_from_its_id():
    answer = b'{"id":"01","model":{"name":"m","version":"1"},"predictions":[{"label":"a"}],"warnings":[{"row":0}]}'
    assert soak_client.said(answer) == b'[{"label":"a"}]'


# -- pictures and files ----------------------------------------------------------------------------------------------


def test_on_a_linear_scale_twice_as_much_is_twice_as_long():
    svg = drawing.bars("T", [("P", [Bar("a", 10, "ours"), Bar("b", 20)])], unit="us", short="us", logarithmic=False)
    widths = [
        float(one.get("width")) for one in ET.fromstring(svg).iter(f"{SVG}rect") if one.get("class") in {"ours", "bar"}
    ]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert "us, logarithmic" not in texts(svg)


@pytest.mark.parametrize(("most", "step"), [(70, 10), (600, 100), (250, 50), (9, 1), (1.1, 0.2), (3500, 500)])
def test_steps_of_an_axis_are_round(most, step):
    assert drawing.round_step(most) == pytest.approx(step)


def test_lines_have_no_inside_in_the_dark_either():
    """A line is a path: filled, it would be a blot over the picture."""
    svg = drawing.curves(
        "T", [Panel("P", "x", "y", (Curve("a", ((1, 1), (10, 5)), True), Curve("b", ((1, 2), (10, 3)))))]
    )
    assert "path.line { fill: none; }" in svg
    filled = re.findall(r"\.(?:ours|base|line)[^{}]*\{[^}]*fill: #", svg)
    assert filled
    assert not any("path" in one or ".line.ours" in one for one in filled)


def test_lists_of_numbers_are_kept_on_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    figures = {"points": [[1.0, -2.5e-07], [3, 4]], "words": ["a", "1, 2"], "none": [], "text": "[ 1,\n 2 ]"}
    results.write("x", figures)
    assert results.read("x") == figures
    assert "[1.0, -2.5e-07]" in (tmp_path / "x.json").read_text()
