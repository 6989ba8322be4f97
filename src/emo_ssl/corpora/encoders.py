"""Frames of a frozen speech encoder: what its blocks hand on, 50 times a second.

Layer 0 is what the first block is given, layer k what block k hands on, as transformers counts `hidden_states`. Several
layers lie side by side in one corpus, and their names tell them apart: `L2.017` is number 17 of layer 2.

Without layers the middle one is taken. The last blocks of an encoder serve what it was trained for, words or the units
of its own loss, and the first ones are close to the spectrum; how something is said is found best in between. Which
layer is best for labels at hand is a setting, to be chosen on validation recordings.

Nothing is downloaded and no code but that of transformers runs: a model is a folder, or a name that `hf download` has
fetched, and only weights in the format safetensors are read.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, TypedDict

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from emo_ssl.corpora.acoustics import one_thread
from emo_ssl.corpora.audio import RATE_OF_FEATURES, resampled
from emo_ssl.corpora.front_ends import FRONT_ENDS, FrontEnd
from emo_ssl.utils.io import UserError, read_json
from emo_ssl.utils.values import ECHO, shortened

AGAIN = "fetch the model again"
VERSION = 1  # raise it whenever a number changes


Size, Blocks = Annotated[int, 0, 10**5], Annotated[int, 0, 200]


class About(TypedDict, total=False):
    """What of config.json decides how much there is to build."""

    model_type: str
    hidden_size: Size
    d_model: Size
    num_hidden_layers: Blocks
    encoder_layers: Blocks
    decoder_layers: Blocks
    intermediate_size: Size
    encoder_ffn_dim: Size
    vocab_size: Annotated[int, 0, 10**6]


class WeightsIndex(TypedDict):
    weight_map: dict[str, str]


FAMILIES = {
    "whisper": "WhisperModel",
    "wav2vec2": "Wav2Vec2Model",
    "hubert": "HubertModel",
    "wavlm": "WavLMModel",
    "data2vec-audio": "Data2VecAudioModel",
}
WEIGHTS, WEIGHTS_INDEX, SETTINGS = "model.safetensors", "model.safetensors.index.json", "preprocessor_config.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
SAMPLE_RATE = RATE_OF_FEATURES
CORE, CONTEXT = 20, 4  # seconds: longer sound is read in pieces with context on both sides, and Whisper's end is 30 s
UNUSED = {"masked_spec_embed"}  # some are published without what only training needs
WITH_LAYERS = re.compile(r"(.+):(all|-?\d+(?:,-?\d+)*)")


def encoder_front_end(name: str, layers: Sequence[int] | str | None = None, device: str = "cpu") -> FrontEnd:
    """Layers of a model, side by side in ascending order; `layers` is some numbers, "all", or None for the middle."""
    folder, revision = folder_of(name)
    network = loaded(str(folder), device)
    chosen = chosen_layers(name, layers, network.blocks)
    digest = digest_of(folder)
    short = folder.resolve().name if Path(name).is_dir() else name
    return FrontEnd(
        name=f"{short}:{','.join(map(str, chosen))}",
        feature_names=tuple(f"L{layer}.{d:03d}" for layer in chosen for d in range(network.width)),
        frame_rate=network.frame_rate,
        version=f"{VERSION}, weights {digest[:12]}",
        licence=licence_of(folder),
        frames=partial(encoded, str(folder), chosen, device),
        half=True,
        slow=True,
        about={
            "layers": list(chosen),
            "speech_encoder": {
                "model": short,
                "folder": str(folder.resolve()),
                "revision": revision,
                "sha256": digest,
                "family": network.family,
                "blocks": network.blocks,
                "device": device,
                "transformers": transformers().__version__,
            },
        },
    )


def named(text: str, device: str = "cpu") -> FrontEnd:
    """A front end out of NAME, NAME:LAYER, NAME:LAYER,LAYER or NAME:all."""
    match = WITH_LAYERS.fullmatch(text)
    if not match:
        return encoder_front_end(text, None, device)
    layers = match[2] if match[2] == "all" else [int(layer) for layer in match[2].split(",")]
    return encoder_front_end(match[1], layers, device)


def of_model(description: dict, folder: Path | str) -> FrontEnd:
    """What made the frames that a saved model was trained on; its weights may have moved since."""
    about, (_, _, layers) = description["speech_encoder"], description["front_end"].rpartition(":")
    for place in (about["folder"], about["model"]):
        if Path(place).is_dir():
            return named(f"{place}:{layers}")
    if about["revision"]:
        return named(f"{about['model']}:{layers}")
    raise UserError(
        f"{folder}: made with the speech encoder {about['model']}, which is no longer in {about['folder']}; "
        "put it back there, or into the folder where you run this."
    )


def chosen_layers(name: str, layers: Sequence[int] | str | None, blocks: int) -> tuple[int, ...]:
    if layers is None:
        return ((blocks + 1) // 2,)
    chosen = range(blocks + 1) if layers == "all" else sorted(set(layers))
    if not chosen or chosen[0] < 0 or chosen[-1] > blocks:
        raise UserError(f"{name}: has no layer {','.join(map(str, layers))}; choose some of 0 to {blocks}, or all.")
    return tuple(chosen)


# Models on this computer


def transformers(what: str = "speech encoders") -> ModuleType:
    try:
        import transformers
    except ImportError as problem:
        raise UserError(
            f'{what} need transformers, which is missing ({problem}); install it with: pip install "emo-ssl[encoders]"'
        ) from problem
    return transformers


def folder_of(name: str) -> tuple[Path, str | None]:
    """Where the files of a model lie, and which revision of a model from the hub they are."""
    if Path(name).is_dir():
        return Path(name), None
    transformers(f"{name}: is none of {', '.join(FRONT_ENDS)}, and speech encoders")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as problem:
        raise UserError(
            f"{name}: neither {', '.join(FRONT_ENDS)} nor a speech encoder on this computer, be it a folder or a name; "
            f"one that the Hugging Face hub has under this name is fetched by: hf download {name}"
        ) from problem
    return folder, folder.name


def weights_of(folder: Path) -> list[Path]:
    """The files of the weights, in the order of their names; pickled ones may run code when they are loaded."""
    if (folder / WEIGHTS_INDEX).exists():
        parts = sorted(set(read_json(folder / WEIGHTS_INDEX, WeightsIndex)["weight_map"].values()))
        if odd := [part for part in parts if part in ("", ".", "..") or part != Path(part).name]:
            raise UserError(f"{folder / WEIGHTS_INDEX}: names {odd[0][:80]!r}, which is no file beside it; {AGAIN}.")
        found = [folder / part for part in parts]
    else:
        found = [folder / WEIGHTS]
    if all(path.exists() for path in found):
        return found
    pickled = sorted(path.name for kind in PICKLED for path in folder.glob(kind))
    if pickled:
        raise UserError(
            f"{folder}: only pickled weights ({pickled[0]}), which may run code when they are loaded; "
            f"take a revision of the model with {WEIGHTS}, or convert them where you trust them."
        )
    raise UserError(f"{folder}: no weights here; a model needs {WEIGHTS} beside its config.json.")


def digest_of(folder: Path) -> str:
    """sha256 of the weights."""
    digest = hashlib.sha256()
    for path in weights_of(folder):
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def licence_of(folder: Path) -> str:
    """As the model's own card says it, in the lines between the first two `---`."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.exists() else ""
    head = text.split("---")[1] if text.startswith("---") else ""
    found = re.search(r"^license:\s*['\"]?([^'\"\n]+)", head, re.MULTILINE)
    return found[1].strip() if found else "not stated beside the weights; see where the model was published"


@cache
def loaded(folder: str, device: str) -> "Whisper | Waves":
    """One network a process."""
    place = Path(folder)
    if not (place / "config.json").exists():
        raise UserError(f"{folder}: no speech encoder here; a model's folder holds config.json and {WEIGHTS}.")
    family = read_json(place / "config.json", About).get("model_type")
    if family not in FAMILIES:
        found = shortened(str(family), ECHO)
        raise UserError(f"{folder}: a model of the kind {found}; speech encoders are {', '.join(FAMILIES)}.")
    weights = weights_of(place)
    library = transformers()
    kind = getattr(library, FAMILIES[family])
    try:
        if family == "whisper" and holds(weights, "conv1.weight"):  # the encoder by itself
            from transformers.models.whisper.modeling_whisper import WhisperEncoder as kind
        with quiet(library):
            model, found = kind.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
            lacking = set(found["missing_keys"]) - UNUSED
            if lacking:
                raise ValueError(f"no weights for {min(lacking)}")
            settings = read_json(place / SETTINGS, dict) if (place / SETTINGS).exists() else {}
            network = (Whisper if family == "whisper" else Waves)(model, settings)
    except Exception as problem:  # transformers does not say which kinds there are
        reason = shortened((str(problem).strip() or type(problem).__name__).splitlines()[0], 2 * ECHO)
        raise UserError(f"{folder}: cannot be loaded as {family} ({reason}); {AGAIN}.") from problem
    return network.eval().requires_grad_(False).to(device)


def holds(weights: list[Path], name: str) -> bool:
    with contextlib.ExitStack() as open_:
        return any(name in open_.enter_context(safe_open(path, "pt")).keys() for path in weights)  # noqa: SIM118


@contextlib.contextmanager
def quiet(library: ModuleType) -> Iterator[None]:
    """Without a bar for every model loaded, and without a table of weights that we leave unused."""
    logging = library.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


# From sound to frames


def encoded(folder: str, layers: tuple[int, ...], device: str, signal: np.ndarray, rate: int) -> np.ndarray:
    """Mono sound (n,) at any rate -> (T, layers * width) float32."""
    network = loaded(folder, device)
    sound = network.scaled(resampled(signal, rate, SAMPLE_RATE))
    if len(sound) < network.shortest:
        raise UserError(f"shorter than the {network.shortest / SAMPLE_RATE:g} s that the encoder looks at at once")
    core, context = (seconds * SAMPLE_RATE // network.hop * network.hop for seconds in (CORE, CONTEXT))
    parts, kind = [], torch.device(device).type
    with torch.inference_mode(), one_thread(), torch.autocast(kind, torch.float16, enabled=kind != "cpu"):
        for begin in range(0, len(sound), core) if len(sound) > core + 2 * context else [0]:
            whole = len(sound) <= core + 2 * context
            first, last = max(0, begin - context), len(sound) if whole else begin + core + context
            states = network(sound[first:last], layers[-1])
            skipped = (begin - first) // network.hop
            until = None if whole else skipped + core // network.hop
            parts.append(torch.cat([states[layer][skipped:until].float().cpu() for layer in layers], 1).numpy())
    return np.concatenate(parts)


class Whisper(nn.Module):
    """Its encoder on as much sound as there is: its own `forward` insists on 30 s, most of them silence for a clip."""

    family = "whisper"

    def __init__(self, model: nn.Module, settings: dict):
        super().__init__()
        self.encoder = encoder = getattr(model, "encoder", model)
        extractor = transformers().WhisperFeatureExtractor
        known = {k: v for k, v in settings.items() if k in ("feature_size", "hop_length", "n_fft", "sampling_rate")}
        self.spectrum = extractor(**{"feature_size": encoder.num_mel_bins, **known})
        self.blocks, self.width = len(encoder.layers), encoder.config.d_model
        self.hop = self.spectrum.hop_length * encoder.conv1.stride[0] * encoder.conv2.stride[0]
        self.shortest = self.hop
        self.frame_rate = SAMPLE_RATE / self.hop

    def scaled(self, sound: np.ndarray) -> np.ndarray:
        """(n,) -> up to the next whole frame, its peak at full scale."""
        return np.pad(to_one_peak(sound), (0, -len(sound) % self.hop))

    def forward(self, sound: np.ndarray, top: int) -> list[Tensor]:
        """sound (n,) -> states 0 to `top`, each (T, width)."""
        encoder, device = self.encoder, self.encoder.conv1.weight.device
        bands = self.spectrum(sound, sampling_rate=SAMPLE_RATE, padding=False, truncation=False)["input_features"]
        x = nn.functional.gelu(encoder.conv1(torch.as_tensor(np.asarray(bands), device=device)))
        x = nn.functional.gelu(encoder.conv2(x)).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        states = [x]
        for block in encoder.layers[:top]:
            states.append(block(states[-1], None))
        if top == self.blocks:
            states[-1] = encoder.layer_norm(states[-1])
        return [state[0] for state in states]


class Waves(nn.Module):
    """wav2vec 2.0 and its relatives, which read samples."""

    def __init__(self, model: nn.Module, settings: dict):
        super().__init__()
        self.model, config = model, model.config
        self.family = config.model_type
        self.standardised = settings.get("do_normalize", True)  # the default of transformers too
        self.layers, self.passed = model.encoder.layers, []
        for block in self.layers:
            block.register_forward_hook(self.note)
        self.blocks, self.width = len(self.layers), config.hidden_size
        self.hop, self.shortest = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            self.shortest += (kernel - 1) * self.hop
            self.hop *= stride
        self.frame_rate = SAMPLE_RATE / self.hop

    def scaled(self, sound: np.ndarray) -> np.ndarray:
        """(n,) -> (n,), its peak at full scale, or of mean 0 and variance 1 where the model was trained on that."""
        sound = to_one_peak(sound)
        return (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7) if self.standardised else sound

    def forward(self, sound: np.ndarray, top: int) -> list[Tensor]:
        """sound (n,) -> states 0 to `top`, each (T, width)."""
        self.model.encoder.layers = self.layers[: max(top, 1)]  # the blocks above it have nothing to do
        sound = torch.from_numpy(np.ascontiguousarray(sound)).to(next(self.model.parameters()).device)
        self.passed.clear()
        self.model(sound[None])
        return [self.passed[0][0][0], *(made[0] for _, made in self.passed)]

    def note(self, block: nn.Module, given: tuple[Tensor, ...], made: Tensor | tuple[Tensor, ...]) -> None:
        """What a block was given and what it made, each (1, T, width)."""
        self.passed.append((given[0], made[0] if isinstance(made, tuple) else made))


def to_one_peak(sound: np.ndarray) -> np.ndarray:
    """Recordings are anything from faint to loud, and encoders were trained on what is loud enough to be heard."""
    peak = np.abs(sound).max(initial=0)
    return sound / peak if peak > 0 else sound
