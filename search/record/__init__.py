"""The run directory: what trainings write and reports read, and nothing else connects the two.

    runs/<study>/
      study.yaml          as resolved: every default written out
      environment.json    versions, device, threads, git commit
      study.db            Optuna's storage (the default; any storage URL serves)
      attempts.jsonl      one line for each start of the driver
      changes.jsonl       what was changed between two starts and allowed by name; base.1/ ... a base before that
      trials/00017/       spec.yaml  recipe.yaml  metrics.jsonl  result.json  checkpoint.pt | weights.safetensors
      confirm/            plan.json, and a folder a network with a folder a seed in it, of the same shape
      report/

    runs/<ablation>/      ablation.yaml, and what is in confirm/: plan.json, <change>/<seed>/

Everything is readable by a person, also during the run. Writes are atomic: a crash leaves the
old file or the new one. Importing this package does not import torch.
"""
