"""emo-ssl: masked pretraining for audio-based emotion recognition.

The public names are imported when they are first used, so `import emo_ssl` waits neither for torch nor for numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emo_ssl.core.corpus import Corpus as Corpus
    from emo_ssl.core.finetune import FinetuneConfig as FinetuneConfig
    from emo_ssl.core.finetune import finetune as finetune
    from emo_ssl.core.model import Classifier as Classifier
    from emo_ssl.core.model import Encoder as Encoder
    from emo_ssl.core.model import MaskedAutoencoder as MaskedAutoencoder
    from emo_ssl.core.predictor import EmotionModel as EmotionModel
    from emo_ssl.core.predictor import load_model as load_model
    from emo_ssl.core.pretrain import PretrainConfig as PretrainConfig
    from emo_ssl.core.pretrain import pretrain as pretrain
    from emo_ssl.evidence.report import evaluate as evaluate
    from emo_ssl.study.contrast_model import fit_contrast as fit_contrast
    from emo_ssl.study.grid import StudyConfig as StudyConfig
    from emo_ssl.study.run import run_study as run_study
    from emo_ssl.utils.io import UserError as UserError

__version__ = "0.1.0"

_MODULE_OF = {
    "Classifier": "core.model",
    "Corpus": "core.corpus",
    "EmotionModel": "core.predictor",
    "Encoder": "core.model",
    "FinetuneConfig": "core.finetune",
    "MaskedAutoencoder": "core.model",
    "PretrainConfig": "core.pretrain",
    "StudyConfig": "study.grid",
    "UserError": "utils.io",
    "evaluate": "evidence.report",
    "finetune": "core.finetune",
    "fit_contrast": "study.contrast_model",
    "load_model": "core.predictor",
    "pretrain": "core.pretrain",
    "run_study": "study.run",
}
__all__ = [*sorted(_MODULE_OF), "__version__"]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'emo_ssl' has no attribute {name!r}")
    return getattr(import_module(f"emo_ssl.{_MODULE_OF[name]}"), name)


def __dir__() -> list:
    return sorted({*globals(), *__all__})
