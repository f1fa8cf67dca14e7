"""The page of the benchmarks: written from the published results, and without paths of the machine."""

import json
import shutil
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
RESULTS = sorted((BENCH / "results").glob("*.json"))


def page_of(load, monkeypatch, *paths):
    """The page of files of results, without its plots."""
    page = load("_page")
    for name in ("draw", "draw_curves"):
        monkeypatch.setattr(page, name, lambda *arguments: False)
    return page.page_of({path: json.loads(path.read_text(encoding="utf-8")) for path in paths})


def lines_of(page):
    return [line for line in page.splitlines() if line and not line.startswith("![")]


@pytest.mark.skipif(not RESULTS, reason="the published results are not in a source distribution")
def test_the_page_is_that_of_the_results(load, monkeypatch):
    published = (BENCH / "README.md").read_text(encoding="utf-8")
    assert lines_of(published) == lines_of(page_of(load, monkeypatch, *RESULTS))
    load("_paths").refuse_paths("README.md", published)


@pytest.mark.skipif(not RESULTS, reason="the published results are not in a source distribution")
def test_a_path_is_not_published(load, monkeypatch, tmp_path):
    path = tmp_path / "results.json"
    shutil.copy(RESULTS[0], path)
    content = json.loads(path.read_text(encoding="utf-8"))
    next(iter(content["benches"].values()))["left_out"]["a rival"] = f"cannot open '{tmp_path}/sound.wav'"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="would publish a path"):
        page_of(load, monkeypatch, path)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("cannot open '/tmp/a folder/b.wav'", None),
        ("OSError: /home/me/x/libfoo.so.5: not found", "OSError: libfoo.so.5: not found"),
        ("written to /tmp/copy.json", "written to copy.json"),
        (r"cannot open C:\Users\me\x.mp4", "cannot open x.mp4"),
        ("(/root/a/b)", "(b)"),
    ],
)
def test_paths_are_found_and_replaced(load, text, without):
    paths = load("_paths")
    with pytest.raises(ValueError, match="would publish a path"):
        paths.refuse_paths("this", {"a": [text]})
    if without is not None:
        assert paths.without_paths(text) == without
    paths.refuse_paths("this", paths.without_paths(text))


@pytest.mark.parametrize(
    "text",
    ["1,892 clips/s", "results/a/b.png", "[page](results/a.png)", "1/2/3 of it", "https://example.org/a/b", "a / b"],
)
def test_other_texts_are_kept(load, text):
    paths = load("_paths")
    paths.refuse_paths("this", [text])
    assert paths.without_paths(text) == text


def test_every_benchmark_has_its_question(load):
    questions = load("_questions").QUESTIONS
    assert sorted(each.file.name for each in questions.values()) == sorted(p.name for p in BENCH.glob("bench_*.py"))


def test_floors_against_rivals_are_against_the_fastest(load):
    results, sample = load("_results"), load("_measure").Sample
    seconds = {"clipx": [2.0, 2.0], "slow": [6.0, 8.0], "fast": [3.0, 3.0], "limit": [1.0, 1.0]}
    samples = {name: [sample(each) for each in found] for name, found in seconds.items()}
    result = results.Result("a case", samples, limits=("limit",))
    assert (result.rivals, result.fastest_rival, result.limit) == (("slow", "fast"), "fast", "limit")
    floors = results.Floors()
    floors.fastest_rival(result, 1.5)
    floors.fastest_rival(result, 1.6)
    assert [floor.met for floor in floors] == [True, False]
    assert "fast" in floors[0].what
    record = result.record()
    assert record["contestants"]["clipx"]["of_limit"] == 0.5
    assert record["rivals"] == ["slow", "fast"]
    alone = results.Result("a case", samples, rivals=())
    floors.fastest_rival(alone, 1.5)
    assert (alone.fastest_rival, alone.record()["rivals"], len(floors)) == (None, [], 2)


def test_a_column_for_each_other_implementation(load):
    figure = load("_figures").Figure("results", "Speed", "clips_per_second", "clips/s")
    found = {"clipx": 40, "clipx, avx2": 30, "clipx, baseline": 20, "rival": 10}
    contestants = {name: {"clips_per_second": speed, "seconds": [1 / speed]} for name, speed in found.items()}
    record = load("_results").make_record("a case", "clipx", contestants)
    by_name = {"avx512": "clipx", "avx2": "clipx, avx2", "baseline": "clipx, baseline"}
    lines = load("_page").figure_table(figure, [{**record, "implementations": by_name}, record])
    header, _, one, other = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:-1])
    assert header[6:] == ["avx2, clips/s", "baseline, clips/s"]
    assert one == ["a case", "40", "rival", "10", "4.00x", "", "30", "20"]
    assert other == [*one[:6], "", ""]
