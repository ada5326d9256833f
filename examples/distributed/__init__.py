"""The character model of :mod:`examples.char_lm` on many devices, driven by what PyTorch has for it.

    torchrun --nproc_per_node 2 -m examples.distributed --engine ddp --out /tmp/ddp
    torchrun --nproc_per_node 2 -m examples.distributed --engine fsdp --accumulate 2 --out /tmp/fsdp
    python -m examples.distributed --out /tmp/one                      # the same curve on one device

From the root of the repository. Processes share the streams of a batch; on GPUs, one a process, they talk by NCCL, else
by gloo.
"""
