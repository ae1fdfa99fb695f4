"""The updates of a distillation, from where it stands to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from adapterkit.runs.directory import RunDirectory
from adapterkit.runs.errors import UserError
from adapterkit.runs.interruption import StopRequest
from adapterkit.runs.progress import Progress
from adapterkit.students.checkpoints import write_checkpoint
from adapterkit.students.evaluating import evaluate, said
from adapterkit.students.folder import interrupted
from adapterkit.students.pruning import prune_between
from adapterkit.students.session import Session
from adapterkit.students.state import LoopState

LOG_UPDATES = 20
_EVALUATIONS = 10
_CLIP = 1.0


class Loop:
    """Trains a session's learner.

    Args:
        session: What is trained, on what.
        state: Where the distillation stands; moved on by `run`.
        directory: Where the log and the checkpoints go.
        progress: Told how it goes.
        request: Whether a stop was asked for.
    """

    def __init__(
        self,
        session: Session,
        state: LoopState,
        directory: RunDirectory,
        progress: Progress,
        request: StopRequest,
    ) -> None:
        self._session, self._state, self._directory = session, state, directory
        self._progress, self._request = progress, request
        training, evaluation = session.recipe.training, session.recipe.evaluation
        self._tokens = training.tokens
        self._every = evaluation.every_tokens or max(1, training.tokens // _EVALUATIONS)
        self._checkpoint_seconds = training.checkpoint_minutes * 60
        self._pruning = session.pruning
        self._recent: list[dict[str, torch.Tensor]] = []

    def run(self) -> None:
        """Update until all word pieces are seen.

        Raises:
            Interrupted: A stop was asked for, and a checkpoint is written.
            UserError: The GPU's memory does not suffice, or the loss is no number any more.
        """
        session, state = self._session, self._state
        self._progress.begin("distilling", self._tokens)
        self._progress.advance(min(state.tokens, self._tokens))
        batches = session.batches(state.update)
        saved = clock = time.monotonic()
        while state.tokens < self._tokens:
            seen = self._update(next(batches))
            state.update += 1
            due = (state.tokens + seen) // self._every > state.tokens // self._every
            state.tokens += seen
            finished = state.tokens >= self._tokens
            report = finished or due or state.update % LOG_UPDATES == 0
            measures = self._measures() if report else {}
            now = time.monotonic()
            state.seconds += now - clock
            if report:
                self._log(measures)
            self._progress.advance(seen, **_shown(measures, state))
            if due or finished:
                self._evaluate()
            if self._stops() and not finished:
                self._save()
                raise interrupted(self._directory.path)
            if time.monotonic() - saved > self._checkpoint_seconds or finished:
                self._save()
                saved = time.monotonic()
            clock = time.monotonic()

    def _update(self, batch: dict[str, torch.Tensor]) -> int:
        """Learn from one batch; the word pieces in it, over all processes."""
        session, state = self._session, self._state
        for group in session.optimiser.param_groups:
            group["lr"] = session.schedule.rate(state.tokens)
        terms = session.terms(batch, state.update)
        session.accelerator.backward(terms["loss"])
        session.accelerator.clip_grad_norm_(session.learner.parameters(), _CLIP)
        session.optimiser.step()
        session.optimiser.zero_grad()
        self._recent.append({name: term.detach() for name, term in terms.items()})
        seen = session.total(int(batch["attention_mask"].sum()))
        if self._pruning is not None:
            student = session.plain.student
            prune_between(student, self._pruning, state.tokens, state.tokens + seen)
        return seen

    def _measures(self) -> dict[str, float]:
        """Means since the last report; waits for the GPU, so that times are true."""
        recent, self._recent = self._recent, []
        means = {name: torch.stack([terms[name] for terms in recent]).mean() for name in recent[0]}
        measures = {name: float(mean) for name, mean in means.items()}
        if measures["loss"] != measures["loss"] or abs(measures["loss"]) == float("inf"):
            raise UserError(
                "The loss is no number any more: the learning diverged.",
                where="training.learning_rate",
                found=str(self._session.recipe.training.learning_rate),
                hint="start anew with a lower one",
            )
        return measures

    def _log(self, measures: dict[str, float]) -> None:
        state = self._state
        record = {
            "update": state.update,
            "tokens": state.tokens,
            "seconds": round(state.seconds, 3),
            "tokens_per_second": round(state.tokens_per_second, 1),
            "learning_rate": self._session.schedule.rate(state.tokens),
            **{name: round(value, 6) for name, value in measures.items()},
        }
        self._append(record)

    def _evaluate(self) -> None:
        session, state = self._session, self._state
        if session.accelerator.is_main_process:
            found = {"tokens": state.tokens, **evaluate(session)}
            self._append({"event": "evaluation", "update": state.update, **found})
            self._progress.say(said(found))
            state.curve.append(found)
        session.accelerator.wait_for_everyone()

    def _stops(self) -> bool:
        """Whether all processes are to stop: signals do not reach them at the same update."""
        if self._session.accelerator.num_processes == 1:
            return self._request.asked
        return self._session.total(int(self._request.asked)) > 0

    def _save(self) -> None:
        session, state = self._session, self._state
        if session.accelerator.is_main_process:
            content = {"state": state.as_dict(), **session.snapshot()}
            write_checkpoint(self._directory.checkpoints_path, state.update, content)
        session.accelerator.wait_for_everyone()

    def _append(self, record: dict[str, Any]) -> None:
        if self._session.accelerator.is_main_process:
            self._directory.append_log(record)


@contextmanager
def memory_errors(batch_tokens: int) -> Iterator[None]:
    """Say which setting to lower where the GPU's memory does not suffice.

    Raises:
        UserError: It does not.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            "The GPU's memory does not suffice.",
            where="training.batch_tokens",
            found=f"{batch_tokens:,} word pieces a batch",
            hint=f"lower it: --set training.batch_tokens={max(64, batch_tokens // 2)}",
        ) from error


def _shown(measures: dict[str, float], state: LoopState) -> dict[str, float]:
    if not measures:
        return {}
    return {"loss": measures["loss"], "pieces/s": round(state.tokens_per_second)}
