"""Who may call which model: the step that asks, the operations that change it, the operator's own changes.

    open      (the default) an account has a model from its first call on, as AWS does it since late 2025
    request   the guide's flow: the use-case form, then an agreement for each model

Either way an operator can grant and revoke (`outcrop access`). Access is an account's, in all regions.
Whether a person or a program of that account may call is what policies say, not this.

Not here: AWS refuses a model in its legacy time to accounts that have not called it for 15 days. When an
account called a model with AWS is not known here, and a fresh install has called none.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Awaitable, Iterable, Mapping
from functools import partial
from typing import Final

from outcrop.catalog import Catalog, Model
from outcrop.errors import OutcropError
from outcrop.service import changing
from outcrop.service.access.operations import Operations
from outcrop.service.access.records import Agreement, How, Mode, UseCase, agreement_key
from outcrop.service.access.standing import (
    Standing,
    State,
    refusal,
    short_name,
    standing,
    state_of,
)
from outcrop.service.call import Call, Handler
from outcrop.store import Reading, Store, Transaction
from outcrop.wire.http import Reply

__all__ = ["Access", "Agreement", "Mode", "Standing", "State", "UseCase"]

log = logging.getLogger("outcrop.service")

# A store that could not be written is not asked again for each call. In seconds.
_PAUSE: Final = 60


class Access:
    """Model access of every account, in one mode. Its methods may be called from any thread, `check` from one
    event loop."""

    def __init__(self, catalog: Catalog, store: Store, mode: Mode) -> None:
        self._store = store
        self._mode: Mode = mode
        self._operations = Operations(catalog, store, mode)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Operation names and who answers them."""
        return self._operations.handlers

    def status(self, state: Reading, account: str, model: Model) -> Standing:
        """How an account stands with a model."""
        return standing(state, account, model, self._mode)

    def check(self, call: Call, inner: Handler) -> Awaitable[Reply]:
        """A step: let a call of a model pass only where its account has access to that model.

        Raises ResourceNotFoundException (the form is missing) or AccessDeniedException, with AWS's texts.
        Where access is open a first call passes at once, and the grant is written meanwhile.
        """
        target = call.target
        if target is not None:
            account, model = call.principal.account, target.model.id
            agreement = call.state.get(Agreement, agreement_key(account, model))
            state = state_of(call.state, account, agreement, self._mode)
            # Counting is free and runs no model: none of AWS's pages asks access for it. But what the
            # operator took away is sent no prompt at all.
            if state != "granted" and (call.operation.runs_a_model or state == "revoked"):
                fault = refusal(state)
                if fault is not None:
                    raise fault
                self._write_first_use(
                    Agreement(account, model, "first use", int(call.received)), call.received
                )
        return inner(call)

    def _write_first_use(self, agreement: Agreement, now: float) -> None:
        """Begin to write a grant, unless that is under way or has just failed."""
        key = agreement.key
        if key not in self._under_way and now >= self._not_before.get(key, now):
            task = asyncio.get_running_loop().create_task(self._grant_first_use(agreement))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))

    async def _grant_first_use(self, agreement: Agreement) -> None:
        try:
            await changing.change(self._store, partial(_put_where_none, agreement))
        except OutcropError as error:
            self._not_before[agreement.key] = agreement.since + _PAUSE
            log.warning("The first use of %s could not be written: %s", agreement.key, error.what)

    def request(self, account: str, models: Iterable[Model], form: bytes | None, now: int) -> None:
        """What the console's Model access page does: hand in the form (None: not now) and accept the offers.

        All or nothing. What is granted already stays as it is. Raises OutcropError for a model that was
        revoked, and where a form is needed and there is none.
        """
        wanted = tuple(models)

        def work(change: Transaction) -> None:
            if form is not None:
                change.put(UseCase(account, b64encode(form).decode(), now))
            elif self._mode == "request" and change.get(UseCase, account) is None:
                raise OutcropError(
                    f"The use-case form of account {account} has not been submitted.",
                    "Give --company, --website, --users, --industry and --use-case.",
                )
            for model in wanted:
                known = change.get(Agreement, agreement_key(account, model.id))
                if known is not None and known.revoked:
                    raise OutcropError(
                        f"{model.name} was revoked for account {account} by the operator.",
                        f"Only `outcrop access grant --model {short_name(model)}` gives it back.",
                    )
                if known is None:
                    change.put(Agreement(account, model.id, "agreement", now))

        self._store.change(work)

    def grant(self, account: str, models: Iterable[Model], now: int) -> None:
        """The operator's shortcut: access without form or agreement, also to what was revoked."""
        self._decide(account, models, "granted by operator", now)

    def revoke(self, account: str, models: Iterable[Model], now: int) -> None:
        """Block models for an account, in both modes, until they are granted again."""
        self._decide(account, models, "revoked by operator", now)

    def _decide(self, account: str, models: Iterable[Model], how: How, now: int) -> None:
        decided = [Agreement(account, model.id, how, now) for model in models]

        def work(change: Transaction) -> None:
            for agreement in decided:
                known = change.get(Agreement, agreement.key)
                if known is None or known.how != how:
                    change.put(agreement)

        self._store.change(work)


def _put_where_none(agreement: Agreement, change: Transaction) -> None:
    """Somebody else's decision, made meanwhile, stands."""
    if change.get(Agreement, agreement.key) is None:
        change.put(agreement)
