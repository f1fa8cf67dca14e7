"""Trainers over a Loader, as the examples have them, run in each process of a world: which clips they were given.

python -m helpers.trainers FOLDER URL...  writes FOLDER/RANK.json: {trainer: [whole epoch, a part, the rest]}, of keys.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import clipx

sys.path.append(str(Path(__file__).resolve().parents[2] / "examples"))

STOP = 3
"""Batches before the state is saved."""


def make(urls, **rest):
    arguments = {"equal_batches": True, "drop_last": False, "memory": "100MB", "batch_size": 2, "threads": 1, **rest}
    return clipx.Loader(urls, clipx.WindowSpec(4, 2), **arguments)


def with_accelerate(urls, folder, **rest):
    from accelerate import Accelerator
    from with_accelerate import prepare_loader

    def prepared():
        return prepare_loader(make(urls, **rest), Accelerator(cpu=True))

    whole, part, data = [batch["__key__"] for batch in prepared()], [], prepared()
    for batch in data:
        part.append(batch["__key__"])
        if len(part) == STOP:
            state = data.state_dict()
            break
    data = prepared()
    data.load_state_dict(state)
    if rest.get("equal_batches", True):
        assert len(data) == len(whole)
    return whole, part, [batch["__key__"] for batch in data]


def refused_by_accelerate(urls, folder):
    """The errors where accelerate would share out what is shared."""
    import torch
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    found = []
    for dispatch in (True, False):
        accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=dispatch))
        data = accelerator.prepare(torch.utils.data.DataLoader(make(urls), batch_size=None))
        try:
            next(iter(data))
        except ValueError as exn:
            found.append(str(exn))
        except TypeError:  # on one process, accelerate cannot send on the keys
            continue
    return found


def with_transformers(urls, folder):
    from transformers import TrainerCallback, TrainingArguments
    from with_transformers import Brightness, ClipTrainer

    class Save(TrainerCallback):
        def on_step_end(self, args, state, control, **rest):
            control.should_save = state.global_step == STOP

    class KeyTrainer(ClipTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, **rest):
            keys.append(inputs["__key__"])
            return super().compute_loss(model, {"mp4": inputs["npy"], "__key__": keys[-1]}, return_outputs, **rest)

    def train(resume=None):
        arguments = TrainingArguments(
            f"{folder}/trainer",
            use_cpu=True,
            report_to=[],
            num_train_epochs=1,
            save_strategy="no",
            disable_tqdm=True,
            ddp_backend="gloo" if "RANK" in os.environ else None,
        )
        trainer = KeyTrainer(Brightness(), arguments, loader=make(urls), callbacks=[Save()])
        trainer.train(resume_from_checkpoint=resume)
        found = list(keys)
        keys.clear()
        return found

    keys = []
    whole = train()
    return whole, whole[:STOP], train(f"{folder}/trainer/checkpoint-{STOP}")


def with_lightning(urls, folder):
    import lightning
    from with_lightning import Brightness, Clips

    class Module(Brightness):
        def training_step(self, batch, number):
            keys.append(batch["__key__"])
            return super().training_step({**batch, "mp4": batch["npy"]}, number)

        def on_train_batch_end(self, outputs, batch, number):
            if number + 1 == STOP == len(keys):
                self.trainer.save_checkpoint(f"{folder}/lightning.ckpt")

    def fit(path=None):
        ranks = int(os.environ.get("WORLD_SIZE", "1"))
        options = {"accelerator": "cpu", "devices": ranks, "strategy": "ddp" if ranks > 1 else "auto", "max_epochs": 1}
        silent = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
        lightning.Trainer(**options, **silent).fit(Module(), datamodule=Clips(lambda: make(urls)), ckpt_path=path)
        found = list(keys)
        keys.clear()
        return found

    keys = []
    whole = fit()
    return whole, whole[:STOP], fit(f"{folder}/lightning.ckpt")


RUNS = {
    "accelerate": with_accelerate,
    "unequal": lambda urls, folder: with_accelerate(urls, folder, equal_batches=False),
    "refused": refused_by_accelerate,
    "transformers": with_transformers,
    "lightning": with_lightning,
}
NEEDED = {"unequal": "accelerate", "refused": "accelerate"}


def main(folder, *urls):
    warnings.simplefilter("ignore")
    found = {}
    for name, run in RUNS.items():
        try:
            __import__(NEEDED.get(name, name))
        except ImportError:
            continue
        found[name] = run(urls, folder)
    Path(folder, f"{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
