#!/bin/sh
# Audits a checkpoint and fails when it is worse than this: sh gate.sh ckpt.pt audit [more options of robustkit audit]
set -eu
model=$1
out=$2
shift 2
exec ${ROBUSTKIT:-robustkit} audit --model "$model" --quick --out "$out" \
  --fail-under "accuracy.low>=0.5" \
  --fail-under "flip_rate<=0.9" \
  "$@"
