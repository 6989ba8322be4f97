#!/usr/bin/env bash
# The same encoder with random weights: is it the training of the encoder that helps, or its shape?
# bash results/ravdess-whisper/sides.sh ARCHIVE ENCODER FOLDER, each as of repeat.sh, which need not have run.
# It can be stopped at any time; the same command goes on from there.
set -euo pipefail
archive=$1 encoder=$2 folder=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH="$here/../../.venv/bin:$PATH" OMP_NUM_THREADS=1
mkdir -p "$folder"

[ -f "$folder/random-weights/model.safetensors" ] ||
    python "$here/random_encoder.py" "$encoder" "$folder/random-weights"
emo-ssl corpus record "$archive" --recipe ravdess --front-end "$folder/random-weights:all" -o "$folder/corpus-random"
# its layers are chosen as those of the trained encoder were: a rival is given the same choice
[ -f "$folder/layers-random.csv" ] ||
    emo-ssl corpus layers "$folder/corpus-random" --adapted -o "$folder/layers-random.csv"
# a study begins with pretraining runs; these take no step, for its arms read the frames alone
for protocol in speaker-independent speaker-adapted; do
    sed 's/^steps = .*/steps = 0/' "$here/pretrain-$protocol.toml" > "$folder/no-step-$protocol.toml"
    emo-ssl pretrain "$folder/corpus-random" --config "$folder/no-step-$protocol.toml" \
        --layers "$folder/layers-random.csv" --fold all --device cpu -o "$folder/runs-random/$protocol"
done
emo-ssl study "$folder/corpus-random" --pretrained "$folder"/runs-random/*/* --config "$here/study-random.toml" \
    --device cpu -o "$folder/study-random"
emo-ssl evidence "$folder/study-random" --keep "$folder/kept/random-weights" \
    --command-that-repeats "bash results/ravdess-whisper/sides.sh ARCHIVE ENCODER FOLDER"
cp "$folder/layers-random.csv" "$folder/kept/random-weights/layers.csv"
