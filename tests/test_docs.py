"""The pages for readers: their Python runs, and what they name and link to exists."""

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
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
# Smaller than what a page shows, and what a test machine has.
SMALLER = {"{000..099}": "{000..001}", "range(10)": "range(1)", "batch_size=16": "batch_size=2", '"cuda"': '"cpu"'}
SMALLER |= {'root="/data"': 'root="."'}

# Libraries that are not installed here, or start processes; tests/on_ray runs the blocks with Ray.
NOT_RUN = "torchcodec", "torchvision", "import ray", "clipx.ray."


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
    """The files that the pages read, in the working directory."""
    monkeypatch.chdir(tmp_path)
    # 62 seconds, of which the pages take those from 10 to 60.
    Path("video.mp4").write_bytes(make_video(n=124, rate=2).read_bytes())
    sound("talk.flac")
    Path("labels.csv").write_text("video,start,end,label\nvideo0,0,2,run\n")
    data = make_video(n=100, size=(240, 320)).read_bytes()
    Path("video0.mp4").write_bytes(data)
    Path("train.csv").write_text("video,label\nvideo0.mp4,1\n./video0.mp4,2\n")
    Path("captions.csv").write_text("video,start,end,caption\nvideo0.mp4,0,2,it runs\nvideo0.mp4,1,3,it sleeps\n")
    for shard in range(2):
        with webdataset.TarWriter(f"videos-{shard:03}.tar") as tar:
            captions = [{"start": 0.5, "end": 2.5, "text": "a dog barks"}, {"start": 1, "end": 4, "text": "it sleeps"}]
            tar.write({"__key__": f"video{shard}", "mp4": data, "cls": 7, "json": {"segments": captions}})
        with webdataset.TarWriter(f"shard-{shard:03}.tar") as tar:
            tar.write({"__key__": "recording17", "npy": np.zeros((100, 24, 32, 3), np.uint8)})


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_runs(page, files, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: None)

    def model(clips):
        return types.SimpleNamespace(loss=lambda labels: None)

    model.state_dict = dict
    x = np.zeros((40, 224, 224, 3), np.uint8)
    window = clipx.WindowSpec(16, 64)
    format = clipx.ClipFormat(crop=224)
    names = {
        "clipx": clipx,
        "torch": torch,
        "wds": webdataset,
        "model": model,
        "classify": lambda clips: torch.zeros(len(clips), 4),
        "train": lambda: None,
        "x": x,
        "sample": {"mp4": x[:16].copy()},
        "urls": "videos-{000..001}.tar",
        "window": window,
        "format": format,
        "pool": clipx.ClipPool(8, (16, 224, 224, 3)),
        "loader": clipx.Loader("videos-{000..001}.tar", window, format, batch_size=2),
    }
    for number, block in enumerate(blocks(page, "python")):
        code = compile(smaller(block), f"{page.name}, block {number}", "exec")
        if not any(each in block for each in NOT_RUN):
            exec(code, names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_of_clipx_exist(page):
    for dotted in set(re.findall(r"\bclipx((?:\.[A-Za-z_]\w*)+)", page.read_text())):
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
    assert "/pytest -n 2 " in second
