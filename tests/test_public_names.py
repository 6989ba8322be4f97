"""The names that `import emo_ssl` offers: where they live, and that asking for one of them is all it takes."""

import ast
import subprocess
import sys
from pathlib import Path

import emo_ssl

NAMES = {
    *("Corpus", "PretrainConfig", "FinetuneConfig", "StudyConfig"),
    *("pretrain", "finetune", "fit_contrast", "run_study", "evaluate", "load_model", "UserError"),
    *("Encoder", "MaskedAutoencoder", "Classifier", "EmotionModel"),
}


def test_the_names_are_listed_and_there():
    assert set(emo_ssl.__all__) == {*NAMES, "__version__"} and set(emo_ssl.__all__) <= set(dir(emo_ssl))
    assert {getattr(emo_ssl, name).__name__ for name in NAMES} == NAMES


def test_type_checkers_see_the_same_names_in_the_same_modules():
    tree = ast.parse(Path(emo_ssl.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert {name: seen[name].removeprefix("emo_ssl.") for name in NAMES} == emo_ssl._MODULE_OF
    assert (Path(emo_ssl.__file__).parent / "py.typed").is_file()


def test_import_and_help_stay_light():
    heavy = "torch numpy pandas h5py scipy safetensors sklearn yaml tqdm joblib IPython matplotlib soundfile pooch"
    program = f"""
import sys, emo_ssl, emo_ssl.cli
emo_ssl.cli.parser().format_help()
print(sorted(set("{heavy}".split()) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
