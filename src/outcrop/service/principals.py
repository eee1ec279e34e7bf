"""Accounts, users, roles and their keys: the records, and every change that can be made to them.

Knows the rules of names and limits; not requests, not policies' meaning (that is `iam`), not the database.
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

import msgspec

from outcrop.catalog import Catalog
from outcrop.catalog import naming as catalog_names
from outcrop.errors import OutcropError
from outcrop.ids import is_account
from outcrop.service import naming
from outcrop.store import Reading, Record, Store, Transaction
from outcrop.wire import bearer

if TYPE_CHECKING:
    from outcrop.service.access.records import Agreement, UseCase
    from outcrop.service.profiles import ApplicationProfile
    from outcrop.service.quota.limits import QuotaLimit

# Characters of a service control policy, white space not counted; `iam.policy` knows the other limits.
_LONGEST_CONTROL: Final = 5120
# AWS: managed policies of a user or role, raised to the most that can be had
_MOST_POLICIES: Final = 20
_INSTALLATION: Final = "installation"
_ABOUT_SESSIONS: Final = "temporary credentials"  # what the session secret is sealed as


class Installation(Record, frozen=True):
    """What there is one of: a fresh install's account, and the sealed secret of temporary credentials."""

    KIND: ClassVar[str] = "installation"

    account: str
    session_secret: str

    @property
    def key(self) -> str:
        """There is only one."""
        return _INSTALLATION


class Account(Record, frozen=True):
    """Twelve digits, and what binds everybody in it.

    `policies` are service control policies by name (JSON as it was given): they allow nothing, they only
    narrow. `residency` is the regions or geographies its calls may be sent to; empty is any.
    """

    KIND: ClassVar[str] = "account"

    id: str
    created: int
    name: str = ""
    policies: dict[str, str] = msgspec.field(default_factory=dict)
    residency: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its id."""
        return self.id


class User(Record, frozen=True):
    """A user of an account. `policies` are its identity policies by name; `boundary` narrows them."""

    KIND: ClassVar[str] = "user"

    account: str
    name: str
    user_id: str
    created: int
    policies: dict[str, str] = msgspec.field(default_factory=dict)
    boundary: str = ""
    residency: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        """`arn:aws:iam::<account>:user/<name>`."""
        return naming.user_arn(self.account, self.name)

    @property
    def key(self) -> str:
        """Its ARN."""
        return self.arn


class Role(Record, frozen=True):
    """A role of an account. `trust` is the policy of who may assume it; `max_seconds` the longest session."""

    KIND: ClassVar[str] = "role"

    account: str
    name: str
    role_id: str
    created: int
    trust: str
    policies: dict[str, str] = msgspec.field(default_factory=dict)
    boundary: str = ""
    residency: tuple[str, ...] = ()
    max_seconds: int = 3600

    @property
    def arn(self) -> str:
        """`arn:aws:iam::<account>:role/<name>`."""
        return naming.role_arn(self.account, self.name)

    @property
    def key(self) -> str:
        """Its ARN."""
        return self.arn


class AccessKey(Record, frozen=True):
    """A key pair of a user. `sealed` is its secret, encrypted; `owner` its ARN; `created` epoch seconds."""

    KIND: ClassVar[str] = "access-key"

    id: str
    sealed: str
    owner: str
    created: int
    enabled: bool = True
    description: str = ""

    @property
    def key(self) -> str:
        """Its id."""
        return self.id


class ApiKey(Record, frozen=True):
    """A long-term Bedrock API key: `digest` is the SHA-256 of its secret in hex, `owner` the user's ARN.

    `created` and `expires` are in epoch seconds; one that never ends has None.
    """

    KIND: ClassVar[str] = "api-key"

    name: str
    digest: str
    owner: str
    created: int
    expires: int | None = None
    enabled: bool = True
    description: str = ""

    @property
    def key(self) -> str:
        """Its name."""
        return self.name


Owner: TypeAlias = User | Role | Account
Key: TypeAlias = AccessKey | ApiKey


class Sealing(Protocol):
    """What encrypts secrets: `store.sealing.Sealer` is one. `about` has to be the same both times."""

    def seal(self, secret: bytes, about: str) -> str:
        """The secret, encrypted, as text."""

    def open(self, sealed: str, about: str) -> bytes:
        """The secret again. Raises OutcropError when it was sealed with another key, or about another."""


class Principals:
    """The principals of a store, and the changes that can be made to them, each of them whole or not at all.

    Made on an empty store, it draws an account and the secret of temporary credentials. Everything raises
    OutcropError for what IAM would not take, and when the store can't be read or written.
    """

    def __init__(self, store: Store, sealer: Sealing, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self._sealer = sealer
        self._clock = clock
        # by the sealed text: a secret is decrypted once, not once a request
        self._opened = lru_cache(maxsize=4096)(sealer.open)
        found = store.snapshot().get(Installation, _INSTALLATION) or store.change(self._install)
        self.account = found.account
        self._opened(
            found.session_secret, _ABOUT_SESSIONS
        )  # with the wrong master key nothing works: say so now

    # ── secrets ───────────────────────────────────────────────────────────────────────────────────

    def session_secret(self, state: Reading) -> bytes:
        """The secret from which temporary credentials are derived."""
        found = state.get(Installation, _INSTALLATION)
        if found is None:
            raise OutcropError("The state has lost its installation.", "Restore the state file from a copy.")
        return self._opened(found.session_secret, _ABOUT_SESSIONS)

    def secret(self, key: AccessKey) -> str:
        """The secret of an access key."""
        return self._opened(key.sealed, _about(key.id, key.owner)).decode()

    # ── who there is ──────────────────────────────────────────────────────────────────────────────

    def accounts(self) -> tuple[Account, ...]:
        """Every account."""
        return self.store.snapshot().all(Account)

    def users(self, account: str = "") -> tuple[User, ...]:
        """The users, of one account or of all."""
        return tuple(user for user in self.store.snapshot().all(User) if account in ("", user.account))

    def has_user(self, name: str) -> bool:
        """Whether the installation's account has a user of that name."""
        return self.store.snapshot().get(User, naming.user_arn(self.account, name)) is not None

    def roles(self, account: str = "") -> tuple[Role, ...]:
        """The roles, of one account or of all."""
        return tuple(role for role in self.store.snapshot().all(Role) if account in ("", role.account))

    def keys(self) -> tuple[Key, ...]:
        """Every key, revoked ones too, the oldest first."""
        state = self.store.snapshot()
        return tuple(sorted((*state.all(AccessKey), *state.all(ApiKey)), key=lambda key: key.created))

    def owner(self, who: str) -> Owner:
        """The user or role with an ARN, or the account with an id."""
        return _owner(self.store.snapshot(), who)

    # ── changes: who there is ─────────────────────────────────────────────────────────────────────

    def create_account(self, name: str = "", account_id: str = "") -> Account:
        """A new account; its id is drawn where none is given."""
        naming.check_account_name(name)
        if account_id:
            naming.check_account_id(account_id)

        def work(state: Transaction) -> Account:
            there = {account.id: account.name for account in state.all(Account)}
            if account_id in there or (name and name in there.values()):
                raise OutcropError(
                    f"There is an account {account_id if account_id in there else name!r} already.",
                    "See `outcrop users account list`.",
                )
            return _put(state, Account(account_id or naming.new_account_id(there), self._now(), name))

        return self.store.change(work)

    def create_user(self, name: str, account: str = "", policies: Mapping[str, str] | None = None) -> User:
        """A new user, with these identity policies by name (JSON)."""
        checked = _checked_policies(policies or {})
        return self.store.change(lambda state: self._new_user(state, account or self.account, name, checked))

    def create_role(
        self,
        name: str,
        trust: str,
        account: str = "",
        policies: Mapping[str, str] | None = None,
        max_seconds: int = naming.SHORTEST_MAX_SESSION,
    ) -> Role:
        """A new role: `trust` is the policy (JSON) of who may assume it, for `max_seconds` at most."""
        naming.check_name(name, "role")
        naming.check_max_session(max_seconds)
        _check_policy("trust", trust, trust=True)
        checked = _checked_policies(policies or {})
        account = account or self.account

        def work(state: Transaction) -> Role:
            _check_account(state, account)
            _check_free(name, "role", [role.name for role in state.all(Role) if role.account == account])
            role = Role(
                account,
                name,
                naming.new_role_id(),
                self._now(),
                trust,
                checked,
                max_seconds=max_seconds,
            )
            return _put(state, role)

        return self.store.change(work)

    def set_trust(self, role: str, trust: str) -> Role:
        """Another trust policy for the role with this ARN. Sessions that were begun go on, as at AWS."""
        _check_policy("trust", trust, trust=True)

        def work(state: Transaction) -> Role:
            return _put(state, msgspec.structs.replace(_role(state, role), trust=trust))

        return self.store.change(work)

    def delete_user(self, arn: str) -> None:
        """Delete the user with this ARN. Its keys are revoked with it, and stay in the list.

        Roles that trust it by name do not trust who gets that name later.
        """

        def work(state: Transaction) -> None:
            user = state.get(User, arn)
            if user is None:
                raise _unknown(arn)
            state.delete(User, arn)
            _trust_no_namesake(state, arn, user.user_id)
            keys: tuple[Key, ...] = (*state.all(AccessKey), *state.all(ApiKey))
            for key in keys:
                if key.owner == arn and key.enabled:
                    state.put(msgspec.structs.replace(key, enabled=False))

        self.store.change(work)

    def delete_role(self, arn: str) -> None:
        """Delete the role with this ARN. Its sessions end, and other roles trust no namesake of it."""

        def work(state: Transaction) -> None:
            role = _role(state, arn)
            state.delete(Role, arn)
            _trust_no_namesake(state, arn, role.role_id)

        self.store.change(work)

    def delete_account(self, account: str) -> None:
        """Delete an account that has no users and no roles any more, with all that it owns.

        Its calls stay recorded; so do its keys, which are revoked.
        """
        if account == self.account:
            raise OutcropError(f"{account} is the account of this installation.", "It can't be deleted.")

        def work(state: Transaction) -> None:
            owned: list[User | Role] = [*state.all(User), *state.all(Role)]
            held = [owner.arn for owner in owned if owner.account == account]
            if held:
                raise OutcropError(
                    f"Account {account} still has {len(held)} user(s) and role(s): {', '.join(held[:5])}.",
                    "Delete them first: `outcrop users delete`, `outcrop users role delete`.",
                )
            if not state.delete(Account, account):
                raise _unknown(account)
            for kind in _account_kinds():  # or the next account of that id would have them
                for record in state.all(kind):
                    if record.account == account:
                        state.delete(kind, record.key)

        self.store.change(work)

    # ── changes: keys ─────────────────────────────────────────────────────────────────────────────

    def create_access_key(
        self, user: str, description: str = "", account: str = "", policies: Mapping[str, str] | None = None
    ) -> tuple[AccessKey, str]:
        """A new key pair of a user, and its secret. A user that is not there yet is made with it.

        `policies` are those of a new user; without, it may invoke models (the preset `invoke`).
        """
        checked = None if policies is None else _checked_policies(policies)

        def work(state: Transaction) -> tuple[AccessKey, str]:
            owner = self._user_for_key(state, account or self.account, user, checked)
            return self._new_access_key(state, owner, description)

        return self.store.change(work)

    def create_first_key(self, user: str, description: str = "") -> None:
        """The first access key of a fresh install, of a user who may do everything.

        Makes nothing when there is or was an access key of the installation's account.
        """
        from outcrop.service.iam.presets import PRESETS

        def work(state: Transaction) -> None:
            if any(account_of(key) == self.account for key in state.all(AccessKey)):
                return
            owner = state.get(User, naming.user_arn(self.account, user))
            owner = owner or self._new_user(state, self.account, user, {"everything": PRESETS["everything"]})
            self._new_access_key(state, owner, description)

        self.store.change(work)

    def create_api_key(
        self,
        user: str = "",
        expires: int | None = None,
        description: str = "",
        account: str = "",
        policies: Mapping[str, str] | None = None,
    ) -> tuple[ApiKey, str]:
        """A new long-term API key and its token, which can't be had again. `expires` is in epoch seconds.

        Without a user it gets one of its own, named as AWS names them (`BedrockAPIKey-<id>`). A new user gets
        `policies`, as with `create_access_key`.
        """
        checked = None if policies is None else _checked_policies(policies)
        account = account or self.account

        def work(state: Transaction) -> tuple[ApiKey, str]:
            taken = {key.name: key.owner for key in state.all(ApiKey)}
            name = _api_key_name(account, user, taken)
            owner = self._user_for_key(state, account, user or name.partition("-at-")[0], checked)
            secret = naming.new_secret()
            digest = hashlib.sha256(secret.encode()).hexdigest()
            key = ApiKey(name, digest, owner.arn, self._now(), expires, description=description)
            return _put(state, key), bearer.make_long_term(name, secret)

        return self.store.change(work)

    def revoke(self, key_id: str) -> Key:
        """Takes a key out of use, and with an access key its sessions and short-term API keys.

        `key_id` is an access key id or an API key's name. A revoked key stays in the list, so that old log
        entries can still be told apart.
        """

        def work(state: Transaction) -> Key:
            key = state.get(AccessKey, key_id) or state.get(ApiKey, key_id)
            if key is None:
                raise OutcropError(f"There is no key {key_id!r}.", "See `outcrop keys list`.")
            return _put(state, msgspec.structs.replace(key, enabled=False))

        return self.store.change(work)

    # ── changes: what they may do ─────────────────────────────────────────────────────────────────

    def set_policy(self, who: str, name: str, text: str) -> None:
        """Put a policy (JSON) in place of the one of that name, if there is one.

        `who` is the ARN of a user or role, or an account's id: then it is a service control policy.
        """
        naming.check_policy_name(name)
        _check_policy(name, text)
        if is_account(who):
            _check_control(name, text)

        def work(state: Transaction) -> None:
            owner = _owner(state, who)
            policies = {**owner.policies, name: text}
            if len(policies) > _MOST_POLICIES:
                raise OutcropError(
                    f"{who} would have {len(policies)} policies; {_MOST_POLICIES} is the most.",
                    "Put several statements into one policy.",
                )
            state.put(msgspec.structs.replace(owner, policies=policies))

        self.store.change(work)

    def remove_policy(self, who: str, name: str) -> None:
        """Take a policy away from a user, a role or an account."""

        def work(state: Transaction) -> None:
            owner = _owner(state, who)
            if name not in owner.policies:
                there = ", ".join(owner.policies) or "none"
                raise OutcropError(f"{who} has no policy {name!r}.", f"Its policies: {there}.")
            left = {kept: text for kept, text in owner.policies.items() if kept != name}
            state.put(msgspec.structs.replace(owner, policies=left))

        self.store.change(work)

    def set_boundary(self, who: str, text: str) -> None:
        """The permissions boundary (JSON) of the user or role with an ARN; "" takes it away."""
        if text:
            _check_policy("boundary", text)

        def work(state: Transaction) -> None:
            owner = _owner(state, who)
            if isinstance(owner, Account):
                raise OutcropError(
                    f"{who} is an account, and boundaries are for users and roles.",
                    "Put a service control policy on the account: `outcrop users policy put`.",
                )
            state.put(msgspec.structs.replace(owner, boundary=text))

        self.store.change(work)

    def bind(self, who: str, regions: Sequence[str]) -> None:
        """Let calls of a user, a role or an account be sent to these regions only; to any for none.

        A name of the catalogue's geographies (`eu`) stands for its regions.
        """
        residency = tuple(dict.fromkeys(regions))
        catalog_names.bound_regions(Catalog.load(), residency, "A binding")

        def work(state: Transaction) -> None:
            state.put(msgspec.structs.replace(_owner(state, who), residency=residency))

        self.store.change(work)

    # ── within a change ───────────────────────────────────────────────────────────────────────────

    def _install(self, state: Transaction) -> Installation:
        found = state.get(Installation, _INSTALLATION)
        if found is not None:  # another process was quicker
            return found
        secret = b64decode(naming.new_secret())
        return install(state, self._sealer, naming.new_account_id(()), secret, self._now())

    def _new_user(self, state: Transaction, account: str, name: str, policies: dict[str, str]) -> User:
        naming.check_name(name, "user")
        _check_account(state, account)
        _check_free(name, "user", [user.name for user in state.all(User) if user.account == account])
        return _put(state, User(account, name, naming.new_user_id(), self._now(), policies))

    def _user_for_key(
        self, state: Transaction, account: str, name: str, policies: dict[str, str] | None
    ) -> User:
        naming.check_name(name, "user")
        found = state.get(User, naming.user_arn(account, name))
        if found is None:
            return self._new_user(state, account, name, _invoke() if policies is None else policies)
        if policies is not None:
            raise OutcropError(
                f"The user {name!r} is there already, with policies of its own.",
                f"Leave out what a new user may do; change it with `outcrop users policy put --user {name}`.",
            )
        return found

    def _new_access_key(self, state: Transaction, owner: User, description: str) -> tuple[AccessKey, str]:
        key_id, secret = naming.new_access_key()
        sealed = seal_secret(self._sealer, key_id, owner.arn, secret)
        return _put(state, AccessKey(key_id, sealed, owner.arn, self._now(), description=description)), secret

    def _now(self) -> int:
        return int(self._clock())


def install(state: Transaction, sealer: Sealing, account: str, secret: bytes, now: int) -> Installation:
    """Writes what there is one of, and its account. `secret` is that of temporary credentials, 32 bytes."""
    if state.get(Account, account) is None:
        state.put(Account(account, now, "default"))
    return _put(state, Installation(account, sealer.seal(secret, _ABOUT_SESSIONS)))


def seal_secret(sealer: Sealing, key_id: str, owner: str, secret: str) -> str:
    """The sealed secret of an access key. It opens for that key of that owner only."""
    return sealer.seal(secret.encode(), _about(key_id, owner))


def account_of(key: Key) -> str:
    """The account that a key belongs to."""
    return key.owner.split(":", 5)[4]


def user_of(key: Key) -> str:
    """The name of the user that a key belongs to."""
    return key.owner.rpartition("/")[2]


_Put = TypeVar("_Put", bound=Record)


def _put(state: Transaction, record: _Put) -> _Put:
    state.put(record)
    return record


def _about(key_id: str, owner: str) -> str:
    return f"access key {key_id} of {owner}"


def _owner(state: Reading, who: str) -> Owner:
    found = state.get(Account, who) if is_account(who) else state.get(User, who) or state.get(Role, who)
    if found is None:
        raise _unknown(who)
    return found


def _role(state: Reading, arn: str) -> Role:
    found = state.get(Role, arn)
    if found is None:
        raise _unknown(arn)
    return found


def _account_kinds() -> tuple[type[Agreement | ApplicationProfile | QuotaLimit | UseCase], ...]:
    """What an account owns besides its users and roles."""
    from outcrop.service.access.records import Agreement, UseCase
    from outcrop.service.profiles import ApplicationProfile
    from outcrop.service.quota.limits import QuotaLimit

    return Agreement, ApplicationProfile, QuotaLimit, UseCase


def _trust_no_namesake(state: Transaction, arn: str, unique_id: str) -> None:
    """Puts a deleted principal's unique id in place of its ARN wherever a role trusts it, as AWS does."""
    for role in state.all(Role):
        told = json.loads(role.trust)
        statements = told["Statement"] if isinstance(told["Statement"], list) else [told["Statement"]]
        renamed = [_rename(statement, arn, unique_id) for statement in statements]
        if any(renamed):
            trust = json.dumps(told, indent=2, ensure_ascii=False)  # escapes would make it longer
            state.put(msgspec.structs.replace(role, trust=trust))


def _rename(statement: dict[str, Any], arn: str, unique_id: str) -> bool:
    """Whether a statement's principals named the ARN, which is then the id."""
    named = statement.get("Principal", statement.get("NotPrincipal"))
    if not isinstance(named, dict):  # `*`
        return False
    aws = named.get("AWS", ())
    known = [aws] if isinstance(aws, str) else list(aws)
    if arn not in known:
        return False
    named["AWS"] = [unique_id if one == arn else one for one in known]
    return True


def _unknown(who: str) -> OutcropError:
    if is_account(who):
        return _no_account(who)
    kind = "role" if ":role/" in who else "user"
    listing = "outcrop users role list" if kind == "role" else "outcrop users list"
    return OutcropError(f"There is no {kind} {who!r}.", f"See `{listing}`.")


def _check_account(state: Reading, account: str) -> None:
    if state.get(Account, account) is None:
        raise _no_account(account)


def _no_account(account: str) -> OutcropError:
    return OutcropError(f"There is no account {account}.", "See `outcrop users account list`.")


def _check_free(name: str, noun: str, taken: Sequence[str]) -> None:
    # IAM: names that differ by case only are the same
    same = [other for other in taken if other.lower() == name.lower()]
    if same:
        raise OutcropError(f"There is a {noun} {same[0]!r} already.", "Choose another name.")


def _invoke() -> dict[str, str]:
    from outcrop.service.iam.presets import PRESETS

    return {"invoke": PRESETS["invoke"]}


def _checked_policies(policies: Mapping[str, str]) -> dict[str, str]:
    for name, text in policies.items():
        naming.check_policy_name(name)
        _check_policy(name, text)
    return dict(policies)


def _check_policy(name: str, text: str, *, trust: bool = False) -> None:
    from outcrop.service.iam.policy import MalformedPolicy, parse

    try:
        parse(text, trust=trust)
    except MalformedPolicy as error:
        where = f"{error.place}: " if error.place else ""
        raise OutcropError(
            f"The policy {name!r} is malformed: {where}{error.problem}.", "Mend it; nothing was changed."
        ) from error


def _check_control(name: str, text: str) -> None:
    length = len("".join(text.split()))
    if length > _LONGEST_CONTROL:
        raise OutcropError(
            f"The policy {name!r} has {length} characters, white space not counted; "
            f"{_LONGEST_CONTROL} is the most for an account.",
            "Shorten it with wildcards, or split it into several policies.",
        )


def _api_key_name(account: str, user: str, taken: Mapping[str, str]) -> str:
    """A user's further keys take the first one's name and `+1`, `+2`, …"""
    arn = naming.user_arn(account, user)
    own = [name for name, owner in taken.items() if user and owner == arn]
    if not own:
        return naming.new_api_key_name(account, taken)
    return f"{min(own, key=len).partition('+')[0]}+{len(own)}"
