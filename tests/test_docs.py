"""The pages for readers: Python of the README runs, and what all of them name and link to exists.

Pages of docs/ run when the site is built (`make docs`); here the blocks that are not run there are compiled.
"""

import functools
import importlib
import re
import types
from pathlib import Path

import av
import numpy as np
import pytest
import webdataset

import clipx
from clipx.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
TOP = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES = TOP + [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
# Smaller than what the README shows, and what a test machine has.
SMALLER = {"{000..099}": "{000..001}", "range(10)": "range(1)", "batch_size=16": "batch_size=2", '"cuda"': '"cpu"'}
SMALLER |= {'root="/data"': 'root="."'}

# Libraries that are not installed here.
NOT_RUN = ("torchcodec",)


def name(path):
    return str(path.relative_to(ROOT))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def smaller(block):
    for shown, small in SMALLER.items():
        block = block.replace(shown, small)
    return block


def sound(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("flac", rate=16000)
        samples = (1e4 * np.sin(np.arange(48000) / 10))[None].astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


@pytest.fixture
def files(tmp_path, monkeypatch, make_video):
    """The files that the README reads, in the working directory."""
    monkeypatch.chdir(tmp_path)
    # 62 seconds, of which the README takes those from 10 to 60.
    Path("video.mp4").write_bytes(make_video(n=124, rate=2).read_bytes())
    sound("talk.flac")
    data = make_video(n=100, size=(240, 320)).read_bytes()
    Path("video0.mp4").write_bytes(data)
    Path("train.csv").write_text("video,label\nvideo0.mp4,1\n./video0.mp4,2\n")
    for shard in range(2):
        with webdataset.TarWriter(f"videos-{shard:03}.tar") as tar:
            tar.write({"__key__": f"video{shard}", "mp4": data})


@pytest.mark.parametrize("page", [page for page in TOP if blocks(page, "python")], ids=name)
def test_python_runs(page, files):
    torch = pytest.importorskip("torch")

    def model(clips):
        return types.SimpleNamespace(loss=lambda labels: None)

    model.state_dict = dict
    names = {"torch": torch, "model": model, "x": np.zeros((40, 224, 224, 3), np.uint8)}
    for number, block in enumerate(blocks(page, "python")):
        code = compile(smaller(block), f"{page.name}, block {number}", "exec")
        if not any(each in block for each in NOT_RUN):
            exec(code, names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_that_is_not_run_compiles(page):
    for number, block in enumerate(blocks(page, "python")):
        compile(block, f"{page.name}, block {number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_of_clipx_exist(page):
    for dotted in set(re.findall(r"(?<![\w/])clipx((?:\.[A-Za-z_]\w*)+)", page.read_text())):
        found = clipx
        for each in dotted[1:].split("."):
            if isinstance(found, types.ModuleType) and not hasattr(found, each):
                found = importlib.import_module(f"{found.__name__}.{each}")
            else:
                found = getattr(found, each)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_that_are_named_exist(page):
    text = page.read_text()
    named = re.findall(r"`((?:clipx|tests|bench|docs|examples|\.ci)/[\w./-]*)`", text)
    # Drawings leave the package's name out.
    drawn = re.findall(r"(?<![\w/.-])(\w+/[\w/]+\.(?:py|pyx|h))\b", text)
    named += [f"clipx/{path}" for path in drawn if (ROOT / "clipx" / path.split("/")[0]).is_dir()]
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("script", [*sorted((ROOT / ".ci").glob("*")), ROOT / "Makefile"], ids=name)
def test_tests_that_scripts_run_exist(script):
    named = set(re.findall(r"\btests/[\w./*-]*", script.read_text()))
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


@functools.cache
def anchors(page):
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_have_the_options_that_are_shown(page):
    shown = [*blocks(page, "sh"), *re.findall(r"`(clipx [^`\n]+)`", page.read_text())]
    cells = "".join(blocks(page, r"\{code-cell\}"))
    shown += [line.removeprefix("!") for line in cells.splitlines() if line.startswith("!clipx ")]
    for line in filter(None, "".join(each.rstrip() + "\n" for each in shown).splitlines()):
        program, *words = line.split()
        if program == "clipx" and words[0] in main.commands:
            known = {option for each in main.commands[words[0]].params for option in each.opts} | {"--help"}
            assert {word for word in words if word.startswith("-")} <= known


def test_the_set_up_is_two_lines():
    first, second = blocks(ROOT / "README.md", "sh")[:2]
    assert (first.count("\n"), second.count("\n")) == (1, 1)
    assert first.endswith("clipx demo\n")
    assert "/pytest -n 3 " in second
