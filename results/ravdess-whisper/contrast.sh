#!/usr/bin/env bash
# Contrast within speakers on the frames of repeat.sh, after it with the same FOLDER: bash results/ravdess-whisper/contrast.sh FOLDER [PROCESSES]
# It can be stopped at any time; the same command goes on from there.
set -euo pipefail
folder=$1 processes=${2:-$(nproc)}  # asked before nproc heeds OMP_NUM_THREADS
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$here/../../.venv/bin:$PATH" OMP_NUM_THREADS=1

# a study begins with pretraining runs; these have no step, for the arms of these studies read the frames alone: those of
# the block that a fold's validation speakers chose, then with its neighbours on both sides
for protocol in speaker-independent speaker-adapted; do
    none=(--config "$here/none-$protocol.toml" --layers "$folder/layers.csv" --fold all --device cpu)
    emo-ssl pretrain "$folder/corpus" "${none[@]}" -o "$folder/runs-one/$protocol"
    emo-ssl pretrain "$folder/corpus" "${none[@]}" --around 1 -o "$folder/runs-three/$protocol"
done
for layers in one three; do
    emo-ssl study "$folder/corpus" --pretrained "$folder"/runs-$layers/*/* --config "$here/study-$layers.toml" \
        --device cpu --engine dask --jobs "$processes" -o "$folder/study-$layers"
done
keep=(--command-that-repeats "bash results/ravdess-whisper/contrast.sh FOLDER" --keep)
emo-ssl evidence "$folder/study-one" "${keep[@]}" "$folder/kept/one"
emo-ssl evidence "$folder/study-three" --beside "$folder/study-one" "${keep[@]}" "$folder/kept/three"
