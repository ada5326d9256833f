#!/bin/sh
# The demo, see examples/demo. With an NVIDIA GPU it trains there (GPU=0: on the CPU all the same).
set -eu
cd "$(dirname "$0")/.."
extras=demo
if [ "${GPU:-1}" = 0 ]; then
    export CUDA_VISIBLE_DEVICES=
else
    case $(nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9]*\).*/\1/p' | head -n 1) in
        1[3-9]) extras=demo,cupy ;;
        12) extras=demo,cupy-cuda12 ;;
    esac
fi
sh tools/venv.sh "$extras"
exec .venv/bin/python -m examples.demo demo-output
