"""The trials of a sweep, scheduled by Ray Tune: ASHA stops the worse ones early."""

# Ray passes the arguments of its callbacks by name.
# ruff: noqa: ARG002
from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketlens.errors import printable
from pocketlens.recipe import Recipe
from pocketlens.scale.search import Dimension
from pocketlens.scale.trial import Budget, try_recipe
from pocketlens.scale.trials import Trial

__all__ = ["Plan", "distributions", "run_trials", "score_of"]

FIELDS = ("epochs", "accuracy", "images", "bytes", "milliseconds", "parameters", "seconds",
          "processor_seconds", "reason")  # fmt: skip
"""The fields of a `Trial` that its process reports."""

LOWEST = -1.0
"""The score of a trial that failed."""


@dataclass(frozen=True)
class Plan:
    """What a sweep has to do.

    Args:
        recipe: The recipe that is varied.
        space: The search space.
        trials: The number of trials, those of an earlier call included.
        method: `bayesian` (Optuna's TPE sampler) or `random`.
        held: The share of the training images that is kept to compare the trials, in (0, 1).
        budget: What the Core ML file may cost.
        processors: Processors for each trial.
        gpus: GPUs for each trial; less than 1 to share one.
        seed: Seed of the search.
    """

    recipe: Recipe
    space: tuple[Dimension, ...]
    trials: int
    method: str
    held: float
    budget: Budget
    processors: int
    gpus: float
    seed: int

    @property
    def most_epochs(self) -> int:
        """The largest number of epochs that a trial can have."""
        if self.recipe.training.on_features:
            return 1
        ends = [each.ends for each in self.space if each.key == "training.epochs"]
        return max((*map(int, ends[0]),)) if ends else self.recipe.training.epochs


def score_of(trial: Trial) -> float:
    """What the search maximizes: the accuracy, or how little a file is over the budget."""
    if trial.state == "done" and trial.accuracy is not None:
        return trial.accuracy
    if trial.state == "stopped" and trial.epochs:
        return trial.epochs[-1]
    return LOWEST


def distributions(space: Sequence[Dimension]) -> dict[str, Any]:
    """The search space in Optuna's words; a value of a list is its index."""
    from optuna import distributions as kinds

    found: dict[str, Any] = {}
    for each in space:
        if each.values:
            found[each.key] = kinds.CategoricalDistribution(tuple(range(len(each.values))))
        elif each.whole:
            found[each.key] = kinds.IntDistribution(int(each.low), int(each.high), log=each.log)
        else:
            found[each.key] = kinds.FloatDistribution(each.low, each.high, log=each.log)
    return found


def run_trials(
    plan: Plan,
    earlier: Sequence[Trial],
    *,
    on: str,
    storage: str,
    finished: Callable[[Trial], object],
    progress: Callable[[Trial], object],
) -> None:
    """Run the trials that are left.

    Args:
        plan: What to do.
        earlier: The trials of earlier calls.
        on: The address of the cluster, or `local`.
        storage: A private folder for Ray's own files.
        finished: Called with each trial that ends, here.
        progress: Called with each trial after an epoch, here.
    """
    left = plan.trials - len(earlier)
    if left <= 0:
        return

    def receive(event: tuple[bool, dict[str, Any]]) -> None:
        ended, fields = event
        (finished if ended else progress)(Trial(**fields))

    number = max((each.number for each in earlier), default=0)
    if not on.startswith("ray://"):
        _fit(plan, earlier, left, number, _Here(receive), storage)
        return
    # Tune runs on the cluster's head then; a queue brings what happens there.
    from ray.util.queue import Empty, Queue

    queue = Queue()
    errors: list[BaseException] = []

    def fit() -> None:
        try:
            _fit(plan, earlier, left, number, queue.put, None)
        except BaseException as error:  # raised below, in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    while thread.is_alive() or not queue.empty():
        try:
            receive(queue.get(timeout=1))
        except Empty:
            continue
    if errors:
        raise errors[0]


def _fit(
    plan: Plan,
    earlier: Sequence[Trial],
    left: int,
    number: int,
    send: Callable[[Any], object],
    storage: str | None,
) -> None:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    most = plan.most_epochs
    scheduler: Any = (
        # One more than there are: a trial that is done ends by itself.
        ASHAScheduler(
            metric="score", mode="max", max_t=most + 1, grace_period=1, reduction_factor=3
        )
        if most > 1
        else FIFOScheduler()
    )
    trainable: Any = functools.partial(
        _train,
        text=plan.recipe.to_toml(),
        space=plan.space,
        held=plan.held,
        budget=plan.budget,
    )
    asha = isinstance(scheduler, ASHAScheduler)
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": plan.processors, "gpu": plan.gpus}),
        # Only the names count: the points of a random search are drawn before.
        param_space={each.key: tune.uniform(each.low, each.high) for each in plan.space}
        if plan.method == "random"
        else None,
        tune_config=tune.TuneConfig(
            num_samples=left,
            search_alg=_searcher(plan, earlier, left),
            scheduler=scheduler,
            reuse_actors=True,  # a process imports PyTorch once
            metric=None if asha else "score",
            mode=None if asha else "max",
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=storage,
            verbose=0,
            callbacks=[_watch(send, number)],
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    ).fit()


def _train(coordinates: Mapping[str, float], **options: Any) -> None:
    """What a process of the cluster does for one trial."""
    from ray import tune

    try_recipe(coordinates, report=tune.report, **options)


def _searcher(plan: Plan, earlier: Sequence[Trial], left: int) -> Any:
    if plan.method == "bayesian":
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        done = list(earlier)
        # Other seeds after a resume: the sampler would propose its first recipes again.
        sampler = optuna.samplers.TPESampler(seed=plan.seed + len(done), constant_liar=True)
        points = [each.coordinates for each in done]
        rewards = [score_of(each) for each in done]
        return OptunaSearch(
            distributions(plan.space),
            metric="score",
            mode="max",
            sampler=sampler,
            points_to_evaluate=points or None,
            evaluated_rewards=rewards or None,
        )
    from ray.tune.search.basic_variant import BasicVariantGenerator

    random = np.random.default_rng(plan.seed)
    drawn = [{each.key: each.draw(random) for each in plan.space} for _ in range(plan.trials)]
    known = [each.coordinates for each in earlier]
    points = [each for each in drawn if each not in known][:left]
    return BasicVariantGenerator(points_to_evaluate=points)


class _Here:
    """A function of this process. Ray saves its callbacks; a copy that it reads does nothing."""

    def __init__(self, function: Callable[[Any], object] | None = None) -> None:
        self.function = function

    def __call__(self, event: Any) -> None:
        if self.function is not None:
            self.function(event)

    def __reduce__(self) -> tuple[type[_Here], tuple[()]]:
        return _Here, ()


def _watch(send: Callable[[Any], object], number: int) -> Any:
    """A callback of Tune that sends what happens, as `(ended, fields of a Trial)`."""
    from ray.tune import Callback

    class Watch(Callback):  # type: ignore[misc]  # mypy does not read Ray
        def __init__(self) -> None:
            self.numbers: dict[str, int] = {}

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            self.numbers.setdefault(trial.trial_id, number + len(self.numbers) + 1)

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any
        ) -> None:
            if result.get("state") == "stopped":
                send((False, self.fields(trial, result)))

        def on_trial_complete(
            self, iteration: int, trials: list[Any], trial: Any, **_: Any
        ) -> None:
            send((True, self.fields(trial, trial.last_result)))

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            reason = str(trial.get_error() or "its process ended").strip().splitlines()[-1]
            failed = {"state": "failed", "reason": printable(reason)[:1000]}
            send((True, self.fields(trial, (trial.last_result or {}) | failed)))

        def fields(self, trial: Any, result: Mapping[str, Any]) -> dict[str, Any]:
            known = {key: result[key] for key in FIELDS if key in result}
            return {
                "number": self.numbers[trial.trial_id],
                "coordinates": dict(trial.config),
                "state": result.get("state", "failed"),
                **known,
                "epochs": tuple(known.get("epochs", ())),
            }

    return Watch()
