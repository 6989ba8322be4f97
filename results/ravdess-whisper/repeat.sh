#!/usr/bin/env bash
# The study on frames of a speech encoder: bash results/ravdess-whisper/repeat.sh ARCHIVE ENCODER FOLDER [PROCESSES]
# ARCHIVE is RAVDESS's Audio_Speech_Actors_01-24.zip or the unpacked folder; ENCODER is openai/whisper-tiny.en, fetched by
# `hf download openai/whisper-tiny.en`, or a folder with its encoder; FOLDER receives everything.
# It can be stopped at any time; the same command goes on from there.
set -euo pipefail
archive=$1 encoder=$2 folder=$3 processes=${4:-$(nproc)}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$here/../../.venv/bin:$PATH"  # what make has set up
mkdir -p "$folder"
export OMP_NUM_THREADS=1  # processes side by side, one core each: faster than one process on all cores

emo-ssl corpus record "$archive" --recipe ravdess --front-end "$encoder:all" -o "$folder/corpus"
[ -f "$folder/layers.csv" ] || emo-ssl corpus layers "$folder/corpus" --adapted -o "$folder/layers.csv"

runs=()
for protocol in speaker-independent speaker-adapted; do for fold in 0 1 2 3 4; do for seed in 0 1 2; do
    runs+=("$folder/runs/$protocol/$fold-$seed")
done; done; done
pretrain() {
    protocol=$(basename "$(dirname "$3")")
    IFS=- read -r fold seed <<< "$(basename "$3")"
    emo-ssl pretrain "$2/corpus" --config "$1/pretrain-$protocol.toml" --layers "$2/layers.csv" \
        --fold "$fold" --seed "$seed" --device cpu -o "$3"
}
export -f pretrain
printf '%s\n' "${runs[@]}" | xargs -P "$processes" -I{} bash -c 'pretrain "$@"' _ "$here" "$folder" {}

emo-ssl study "$folder/corpus" --pretrained "${runs[@]}" --config "$here/study.toml" --device cpu \
    --engine dask --jobs "$processes" -o "$folder/study"
emo-ssl evidence "$folder/study" --keep "$folder/kept" --corpus "$folder/corpus" \
    --command-that-repeats "bash results/ravdess-whisper/repeat.sh ARCHIVE ENCODER FOLDER"
cp "$folder/layers.csv" "$folder/kept/"
