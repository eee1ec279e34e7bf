"""Which limits hold for a bucket: the catalogue's defaults, and what somebody set instead. Counts nothing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import ClassVar, Final, Literal, NamedTuple, TypeAlias

from outcrop.catalog import quotas
from outcrop.store import Record, Snapshot
from outcrop.store.counters import Limits

ANY: Final = "*"

Origin: TypeAlias = Literal["default", "set", "none"]


class QuotaLimit(Record, frozen=True):
    """A limit that somebody set. Each of the first four may be "*", for any.

    `model` is a bare id, `region` the source region, `kind` one of the catalogue's, `quota` one of `rpm`,
    `tpm` and `tpd`. `value` None is no limit, 0 refuses everything.
    """

    KIND: ClassVar[str] = "quota-limit"

    account: str
    model: str
    region: str
    kind: str
    quota: str
    value: int | None = None

    @property
    def key(self) -> str:
        """All that it is for."""
        return f"{self.account}/{self.model}/{self.region}/{self.kind}/{self.quota}"


class Bucket(NamedTuple):
    """What has quotas of its own: an account's calls of one kind, of one model, from one region."""

    account: str
    model: str
    region: str
    kind: str

    @property
    def key(self) -> str:
        """Its name among the counters."""
        return "/".join(self)

    @classmethod
    def of_key(cls, key: str) -> Bucket | None:
        """The bucket with that name; None for what is no bucket's name."""
        parts = key.split("/")
        return cls(*parts) if len(parts) == 4 else None


class Resolved(NamedTuple):
    """The limits of a bucket, where each of them comes from (in the order of `quotas.NAMES`), and its key."""

    limits: Limits
    origins: tuple[Origin, Origin, Origin]
    key: str


class LimitTable:
    """Every limit that was set, ready to be looked up; what was found is kept."""

    def __init__(self, records: Iterable[QuotaLimit]) -> None:
        self._set = {
            (record.account, record.model, record.region, record.kind, record.quota): record.value
            for record in records
        }
        self._found: dict[Bucket, Resolved] = {}

    @classmethod
    def of(cls, state: Snapshot) -> LimitTable:
        """For `state.derived`, by way of `table`."""
        return cls(state.all(QuotaLimit))

    def resolve(self, bucket: Bucket) -> Resolved:
        """The limits of a bucket.

        For each quota: what was set for the account, then for any; within that for the model, then for any;
        then likewise region and kind; else the catalogue's default. Tokens a day that nobody set go with the
        tokens a minute, as AWS's do.
        """
        found = self._found.get(bucket)
        if found is None:
            found = self._found[bucket] = self._resolve(bucket)
        return found

    def holder(self, bucket: Bucket, quota: str) -> QuotaLimit | None:
        """What was set, and is the limit of a bucket for one of `quotas.NAMES`; None where nothing was."""
        for names in product(*((name, ANY) for name in bucket)):
            place = (names[0], names[1], names[2], names[3], quota)
            if place in self._set:
                return QuotaLimit(*place, self._set[place])
        return None

    def _resolve(self, bucket: Bucket) -> Resolved:
        told = quotas.defaults(bucket.model, bucket.kind, bucket.region)
        rpm, rpm_origin = self._one(bucket, "rpm", told.rpm)
        tpm, tpm_origin = self._one(bucket, "tpm", told.tpm)
        tpd, tpd_origin = self._one(bucket, "tpd", quotas.daily(tpm))
        return Resolved(Limits(rpm, tpm, tpd), (rpm_origin, tpm_origin, tpd_origin), bucket.key)

    def _one(self, bucket: Bucket, quota: str, default: int | None) -> tuple[int | None, Origin]:
        held = self.holder(bucket, quota) if self._set else None
        if held is not None:
            return held.value, "set"
        return default, "none" if default is None else "default"


def table(state: Snapshot) -> LimitTable:
    """The limits of a state, made once for each."""
    return state.derived(_make)


def _make(state: Snapshot) -> LimitTable:
    return LimitTable.of(state)
