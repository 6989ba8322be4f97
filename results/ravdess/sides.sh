#!/usr/bin/env bash
# The side studies, after repeat.sh with the same FOLDER: bash results/ravdess/sides.sh ARCHIVE FOLDER [PROCESSES]
# Another front end (needs the extra `audio`, whose openSMILE forbids commercial use), other ways to draw label
# budgets, another head, more steps, other weights, another task without labels. It can be stopped at any time; the same
# command goes on from there.
set -euo pipefail
archive=$1 folder=$2 processes=${3:-$(nproc)}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$here/../../.venv/bin:$PATH"  # what make has set up
export OMP_NUM_THREADS=1

study() {  # NAME CORPUS RUN...
    local name=$1 corpus=$2
    shift 2
    emo-ssl study "$corpus" --pretrained "$@" --config "$here/study-$name.toml" --device cpu \
        --engine dask --jobs "$processes" -o "$folder/$name"
    emo-ssl evidence "$folder/$name" --keep "$folder/kept/$name" \
        --command-that-repeats "bash results/ravdess/sides.sh ARCHIVE FOLDER"
}

emo-ssl corpus record "$archive" --recipe ravdess --front-end compare -o "$folder/corpus-compare"
seq 0 4 | xargs -P "$processes" -I{} emo-ssl pretrain "$folder/corpus-compare" --config "$here/pretrain-speaker-independent.toml" \
    --fold {} --seed 0 --device cpu -o "$folder/runs-compare/{}"
study compare "$folder/corpus-compare" "$folder"/runs-compare/*

for name in random whole l1 patience best; do
    study "$name" "$folder/corpus" "$folder"/runs/speaker-independent/*
done
study contrast "$folder/corpus" "$folder"/runs/*/*
