#!/usr/bin/env bash
# The same encoder with random weights, after repeat.sh with the same FOLDER: is it the training of the encoder, or its
# shape? bash results/ravdess-whisper/sides.sh ARCHIVE ENCODER_FOLDER FOLDER     It can be stopped and run again.
set -euo pipefail
archive=$1 encoder=$2 folder=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$here/../../.venv/bin:$PATH" OMP_NUM_THREADS=1

[ -d "$folder/random-weights" ] || python "$here/random_encoder.py" "$encoder" "$folder/random-weights"
emo-ssl corpus record "$archive" --front-end "$folder/random-weights:all" -o "$folder/corpus-random"
[ -f "$folder/layers-random.csv" ] || emo-ssl corpus layers "$folder/corpus-random" -o "$folder/layers-random.csv"
# a study begins with pretraining runs; these have no step, for the arms of this study read the frames alone
emo-ssl pretrain "$folder/corpus-random" --config "$here/pretrain-none.toml" --layers "$folder/layers-random.csv" \
    --fold all --device cpu -o "$folder/runs-random"
emo-ssl study "$folder/corpus-random" --pretrained "$folder"/runs-random/* --config "$here/study-random.toml" \
    --device cpu -o "$folder/study-random"
emo-ssl evidence "$folder/study-random" --keep "$folder/kept/random" \
    --command-that-repeats "bash results/ravdess-whisper/sides.sh ARCHIVE ENCODER_FOLDER FOLDER"
