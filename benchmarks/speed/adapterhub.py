"""AdapterHub as its documentation shows it: `AdapterTrainer` over a stock ALBERT.

The backbone's layer-wise adapters are loaded beneath the new ones, which are configured as
adapterkit configures them, so that both train the same model.
"""

from __future__ import annotations

from adapters import AdapterTrainer, AlbertAdapterModel, Stack
from peer import begin
from stock import train_and_report

from adapterkit.plans.step_plan import StepPlan
from adapterkit.plans.task_adapter import task_adapter_config


def main() -> None:
    """Train bottleneck adapters and head, and evaluate."""
    trial = begin(__doc__.partition("\n")[0])
    folder = trial.options.work / "albert"
    with trial.phase("load"):
        model = AlbertAdapterModel.from_pretrained(folder)
        total = model.config.num_hidden_layers
        model.load_adapter(str(folder / "layerwise"), load_as="layerwise", use_safetensors=True)
        choice = StepPlan.parse("adapter").resolve(total)[0]
        config = task_adapter_config(choice, tuple(trial.steps), total, True)
        model.add_adapter("task", config=config)
        model.add_tagging_head("task", num_labels=len(trial.tags))
        model.train_adapter("task")
        model.active_adapters = Stack("layerwise", "task")
    train_and_report(trial, model, AdapterTrainer)


if __name__ == "__main__":
    main()
