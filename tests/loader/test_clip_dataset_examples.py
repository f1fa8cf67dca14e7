"""The examples of a ClipDataset with Lightning and with transformers: every clip once in each epoch, drawn anew."""

import importlib.util
from pathlib import Path

import pytest
from helpers.workers import once_more

pytestmark = [once_more, pytest.mark.filterwarnings("ignore")]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def folder(tmp_path, make_video):
    for i in range(3):
        (tmp_path / f"v{i}.mp4").write_bytes(make_video(n=20 + 8 * i).read_bytes())
    return str(tmp_path)


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(folder):
    counts = [(20 + 8 * i - 4) // 8 + 1 for i in range(3)]
    return sorted(f"{folder}/v{i}_{k:06d}" for i, count in enumerate(counts) for k in range(count))


def test_lightning(folder):
    pytest.importorskip("lightning")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}
    model = example("clip_dataset_with_lightning").train(folder, workers=1, **quiet)
    assert len(model.seen) == 2
    assert [sorted(epoch) for epoch in model.seen] == [keys(folder)] * 2
    assert model.seen[0] != model.seen[1]


def test_transformers(folder, monkeypatch):
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    # It takes the folder tests/datasets for the package of that name.
    monkeypatch.setattr("transformers.trainer.is_datasets_available", lambda: False)
    model = example("clip_dataset_with_transformers").train(folder, workers=0, disable_tqdm=True)
    half = len(model.seen) // 2
    epochs = [[key for batch in part for key in batch] for part in (model.seen[:half], model.seen[half:])]
    assert [sorted(epoch) for epoch in epochs] == [keys(folder)] * 2
    assert epochs[0] != epochs[1]
