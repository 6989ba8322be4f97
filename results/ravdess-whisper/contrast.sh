#!/usr/bin/env bash
# Contrast within speakers on the frames of repeat.sh, after it with the same FOLDER: bash results/ravdess-whisper/contrast.sh FOLDER
# It can be stopped at any time; the same command goes on from there.
set -euo pipefail
folder=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$here/../../.venv/bin:$PATH" OMP_NUM_THREADS=1

emo-ssl study "$folder/corpus" --pretrained "$folder"/runs/*/* --config "$here/study-contrast.toml" --device cpu \
    -o "$folder/study-contrast"
emo-ssl evidence "$folder/study-contrast" --keep "$folder/kept/contrast" \
    --command-that-repeats "bash results/ravdess-whisper/contrast.sh FOLDER"
