"""A folder with one of everything that a reader meets: corpus, run, stopped run, model, study, settings, recordings."""

import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import torch
from builders import noise
from training import FINETUNE, PRETRAIN, STUDY, write_acted

from emo_ssl.core import pretrain as engine
from emo_ssl.core.finetune import finetune
from emo_ssl.core.model import MaskedAutoencoder
from emo_ssl.core.optim import adamw
from emo_ssl.core.pretrain import METRICS, PretrainedRun
from emo_ssl.study.contrast_model import fit_contrast
from emo_ssl.study.run import run_study

SMALL = replace(STUDY, arms=("scratch", "constants"), budgets=(4,))


def write_everything(folder: Path) -> Path:
    corpus = write_acted(folder / "corpus")
    run, *others = (engine.pretrain(corpus, folder / f"run{k}", PRETRAIN, fold=k, device="cpu") for k in range(3))
    finetune(corpus, run, folder / "model", 9, 1e-2, 1, FINETUNE, "cpu")
    fit_contrast(corpus, folder / "linear", 9)
    run_study(corpus, [run, *others], folder / "study", SMALL, "cpu")
    for name in ("stopped", "settings"):
        (folder / name).mkdir()
    network, optimiser = fresh(run)
    network.load_state_dict(run.network.state_dict())
    for parameter in network.parameters():
        optimiser.state[parameter] = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
    lines = [json.loads(line) for line in (folder / "run0" / METRICS).read_text().splitlines()]
    engine.save_checkpoint(folder / "stopped", network, optimiser, 10, lines)
    (folder / "settings" / "study.json").write_text(json.dumps(asdict(STUDY)))
    (folder / "settings" / "pretrain.toml").write_text(toml_of(asdict(PRETRAIN)))
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"clip{i}.wav", noise(200, seed=i).tobytes())
    return folder


def fresh(run: PretrainedRun) -> tuple[MaskedAutoencoder, torch.optim.Optimizer]:
    """A network of the run's shape that nothing was learned by, and its optimiser."""
    network = MaskedAutoencoder(run.network.encoder.config)
    return network, adamw(network, PRETRAIN.adam, PRETRAIN.rate)


def toml_of(content: dict) -> str:
    """Tables come below what is in none."""
    plain = [f"{k} = {json.dumps(v)}" for k, v in content.items() if not isinstance(v, dict | None)]
    return "\n".join([*plain, *(f"[{k}]\n{toml_of(v)}" for k, v in content.items() if isinstance(v, dict))])
