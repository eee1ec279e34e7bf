"""`outcrop users`: users, roles and accounts, and what they may do. Knows no rule: `principals` does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from outcrop.catalog import Catalog, naming
from outcrop.cli.keys import (
    LOCAL_USER,
    Duration,
    account_id,
    account_option,
    allowed,
    checked_actions,
    key_row,
    moment,
    policy_text,
    principals_of,
)
from outcrop.cli.options import output_option, print_record, print_rows, settings_options
from outcrop.config import Loaded
from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from outcrop.service.principals import Owner, Principals

_WHO = re.compile(r"arn:[a-z-]+:(iam|sts)::[0-9]{12}:(user|role|assumed-role|root)\S*|[0-9]{12}|\*")

_new_allow_option = click.option(
    "--allow",
    metavar="everything|invoke|nothing|FILE",
    default="nothing",
    show_default=True,
    help="What it may do; FILE is a policy in AWS's JSON.",
)
_trust_options: Final = (
    click.option(
        "--trust", type=click.Path(path_type=Path), help="A file with the policy of who may assume it."
    ),
    click.option(
        "--trusted-by",
        multiple=True,
        metavar="ARN",
        help="A user, a role or an account that may assume it, instead of a policy. Can be repeated.",
    ),
)


@click.group(
    help="Make users, roles and accounts, and say what they may do. Endpoints see each change at once."
)
def users() -> None:
    """The commands below."""


# ── users ─────────────────────────────────────────────────────────────────────────────────────────


@users.command(help="Make a user. It has no key yet: `outcrop keys create --user NAME` makes one.")
@click.argument("name")
@account_option("The account it belongs to. Default: the first one.")
@_new_allow_option
@output_option
@settings_options()
def create(loaded: Loaded, name: str, account: str, allow: str, output: str) -> None:
    """Refuses a name that is taken."""
    principals = principals_of(loaded.settings)
    user = principals.create_user(name, account_id(principals, account), allowed(allow))
    print_record(_described(user), output)


@users.command("list", help="List the users.")
@account_option("Only those of one account.")
@output_option
@settings_options()
def list_users(loaded: Loaded, account: str, output: str) -> None:
    """By account and name."""
    principals = principals_of(loaded.settings)
    rows = [_described(user) for user in principals.users(account_id(principals, account))]
    print_rows(rows, output, ["name", "account", "policies", "boundary", "regions", "created"])


@users.command(help="Show a user, its keys and what it may do.")
@click.argument("name")
@account_option("The account it belongs to. Default: the first one.")
@output_option
@settings_options()
def show(loaded: Loaded, name: str, account: str, output: str) -> None:
    """NAME is a name or an ARN."""
    principals = principals_of(loaded.settings)
    arn = _arn(principals, "user", name, account)
    user = principals.owner(arn)
    known, now = principals.keys(), time.time()
    keys = [key_row(key, now) for key in known if key.owner == arn]
    if output == "json":
        print_record({**_described(user), "keys": keys}, output)
        return
    print_record(_described(user), output)
    if keys:
        click.echo()
        print_rows(keys, output, ["kind", "id", "created", "expires", "status", "description"])


@users.command(help="Delete a user. Its keys and their sessions end with it.")
@click.argument("name")
@account_option("The account it belongs to. Default: the first one.")
@click.option("--yes", is_flag=True, help=f"Delete `{LOCAL_USER}` too, whose key the other commands use.")
@settings_options()
def delete(loaded: Loaded, name: str, account: str, yes: bool) -> None:
    """The keys stay in the list, revoked."""
    principals = principals_of(loaded.settings)
    arn = _arn(principals, "user", name, account)
    if not yes and arn == _arn(principals, "user", LOCAL_USER, principals.account):
        raise OutcropError(
            f"It is {LOCAL_USER}'s key that `outcrop env`, `outcrop exec` and `outcrop serve` hand out, and "
            "it would be revoked.",
            f"Add --yes if that is meant. `outcrop keys create --user {LOCAL_USER}` makes a new one.",
        )
    principals.delete_user(arn)
    click.echo(f"Deleted {arn}; its keys are revoked.")


# ── roles ─────────────────────────────────────────────────────────────────────────────────────────


@users.group(help="Roles: what a session may do that STS AssumeRole begins.")
def role() -> None:
    """The commands below."""


def _with_trust(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_trust_options):
        command = option(command)
    return command


@role.command("create", help="Make a role. Say who may assume it: --trusted-by ARN, or --trust FILE.")
@click.argument("name")
@account_option("The account it belongs to. Default: the first one.")
@_with_trust
@_new_allow_option
@click.option("--max-session", type=Duration(), default="1h", show_default=True, help="1h to 12h.")
@output_option
@settings_options()
def create_role(
    loaded: Loaded,
    *,
    name: str,
    account: str,
    trust: Path | None,
    trusted_by: tuple[str, ...],
    allow: str,
    max_session: int,
    output: str,
) -> None:
    """A user it trusts by name needs no policy of its own to assume it; one trusted by account does."""
    principals = principals_of(loaded.settings)
    text = _trust_text(trust, trusted_by)
    made = principals.create_role(name, text, account_id(principals, account), allowed(allow), max_session)
    print_record(_described(made), output)


@role.command("list", help="List the roles.")
@account_option("Only those of one account.")
@output_option
@settings_options()
def list_roles(loaded: Loaded, account: str, output: str) -> None:
    """By account and name."""
    principals = principals_of(loaded.settings)
    rows = [_described(one) for one in principals.roles(account_id(principals, account))]
    print_rows(rows, output, ["name", "account", "policies", "boundary", "regions", "max_session", "created"])


@role.command("show", help="Show a role, who may assume it and what it may do.")
@click.argument("name")
@account_option("The account it belongs to. Default: the first one.")
@output_option
@settings_options()
def show_role(loaded: Loaded, name: str, account: str, output: str) -> None:
    """NAME is a name or an ARN."""
    principals = principals_of(loaded.settings)
    found = principals.owner(_arn(principals, "role", name, account))
    print_record(_described(found), output)
    if output != "json":
        click.echo(f"\ntrust policy:\n{_indented(getattr(found, 'trust', ''))}")


@role.command("trust", help="Say anew who may assume a role.")
@click.argument("name")
@account_option("The account it belongs to. Default: the first one.")
@_with_trust
@settings_options()
def set_trust(
    loaded: Loaded, name: str, account: str, trust: Path | None, trusted_by: tuple[str, ...]
) -> None:
    """Sessions that were begun go on."""
    principals = principals_of(loaded.settings)
    found = principals.set_trust(_arn(principals, "role", name, account), _trust_text(trust, trusted_by))
    click.echo(f"The trust policy of {found.arn} is replaced.")


@role.command("delete", help="Delete a role. Its sessions end with it.")
@click.argument("name")
@account_option("The account it belongs to. Default: the first one.")
@settings_options()
def delete_role(loaded: Loaded, name: str, account: str) -> None:
    """A new role of the same name knows none of the old one's sessions."""
    principals = principals_of(loaded.settings)
    arn = _arn(principals, "role", name, account)
    principals.delete_role(arn)
    click.echo(f"Deleted {arn}; its sessions are ended.")


def _trust_text(trust: Path | None, trusted_by: tuple[str, ...]) -> str:
    if (trust is None) == (not trusted_by):
        raise click.UsageError("Say who may assume the role: --trusted-by ARN, or --trust FILE.")
    if trust is not None:
        return policy_text(str(trust))[1]
    for who in trusted_by:
        if _WHO.fullmatch(who) is None:
            raise click.UsageError(f"{who!r} is neither the ARN of a user or role nor an account's id.")
    anybody = "*" in trusted_by
    statement = {
        "Effect": "Allow",
        "Principal": "*" if anybody else {"AWS": list(trusted_by)},
        "Action": "sts:AssumeRole",
    }
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────


@users.group("account", help="Accounts: each has its own users, roles, model access, profiles and quotas.")
def accounts() -> None:
    """The commands below."""


@accounts.command("create", help="Make an account. The flag --account takes its NAME, or its id.")
@click.argument("name")
@click.option("--id", "wanted", default="", help="Its twelve digits. Default: drawn.")
@output_option
@settings_options()
def create_account(loaded: Loaded, name: str, wanted: str, output: str) -> None:
    """Refuses an id or a name that is taken."""
    if not name:
        raise click.UsageError("NAME is empty: the flag --account has to take it.")
    print_record(_described(principals_of(loaded.settings).create_account(name, wanted)), output)


@accounts.command("list", help="List the accounts.")
@output_option
@settings_options()
def list_accounts(loaded: Loaded, output: str) -> None:
    """With how many users each has."""
    principals = principals_of(loaded.settings)
    rows = [
        {**_described(account), "users": len(principals.users(account.id))}
        for account in principals.accounts()
    ]
    print_rows(rows, output, ["id", "name", "users", "policies", "regions", "created"])


@accounts.command("delete", help="Delete an account that has no users and no roles any more.")
@click.argument("account")
@settings_options()
def delete_account(loaded: Loaded, account: str) -> None:
    """ACCOUNT is an id or a name."""
    principals = principals_of(loaded.settings)
    principals.delete_account(account_id(principals, account))
    click.echo(f"Deleted account {account}.")


# ── what they may do ──────────────────────────────────────────────────────────────────────────────


def _target(command: Callable[..., Any]) -> Callable[..., Any]:
    command = account_option("The account they belong to; without them, the account itself.")(command)
    command = click.option("--role", "role_name", metavar="NAME", help="The role that is meant.")(command)
    return click.option("--user", "user_name", metavar="NAME", help="The user that is meant.")(command)


@users.group(help="Policies of users and roles, and service control policies of accounts.")
def policy() -> None:
    """The commands below."""


@policy.command(
    "put", help="Give a policy, in place of one of that name: FILE, everything, invoke or nothing."
)
@click.argument("name")
@click.argument("file")
@_target
@settings_options()
def put_policy(
    loaded: Loaded, name: str, file: str, user_name: str | None, role_name: str | None, account: str
) -> None:
    """On an account it is a service control policy: it allows nothing by itself, and narrows everybody."""
    principals = principals_of(loaded.settings)
    who = _meant(principals, user_name, role_name, account)
    principals.set_policy(who, name, checked_actions(name, policy_text(file)[1]))
    click.echo(f"{who} has the policy {name}.")


@policy.command("remove", help="Take a policy away.")
@click.argument("name")
@_target
@settings_options()
def remove_policy(
    loaded: Loaded, name: str, user_name: str | None, role_name: str | None, account: str
) -> None:
    """Refuses a name that it does not have."""
    principals = principals_of(loaded.settings)
    who = _meant(principals, user_name, role_name, account)
    principals.remove_policy(who, name)
    click.echo(f"{who} has no policy {name} any more.")


@policy.command("list", help="List the policies of a user, a role or an account.")
@_target
@output_option
@settings_options()
def list_policies(
    loaded: Loaded, user_name: str | None, role_name: str | None, account: str, output: str
) -> None:
    """The boundary too."""
    principals = principals_of(loaded.settings)
    owner = principals.owner(_meant(principals, user_name, role_name, account))
    rows = [
        {"name": name, "kind": _kind(owner), "characters": len(text), "policy": text}
        for name, text in owner.policies.items()
    ]
    if boundary := getattr(owner, "boundary", ""):
        rows.append({"name": "", "kind": "boundary", "characters": len(boundary), "policy": boundary})
    print_rows(rows, output, ["name", "kind", "characters"])


@policy.command("show", help="Print a policy, as it was given.")
@click.argument("name")
@_target
@settings_options()
def show_policy(
    loaded: Loaded, name: str, user_name: str | None, role_name: str | None, account: str
) -> None:
    """To be edited and put back."""
    principals = principals_of(loaded.settings)
    owner = principals.owner(_meant(principals, user_name, role_name, account))
    if name not in owner.policies:
        there = ", ".join(owner.policies) or "none"
        raise OutcropError(f"{owner.key} has no policy {name!r}.", f"Its policies: {there}.")
    click.echo(owner.policies[name].strip())


@users.command(
    help="Set the most that a user or role can ever be allowed: FILE, everything, invoke or nothing."
)
@click.argument("file", required=False)
@click.option("--remove", is_flag=True, help="Take the boundary away.")
@_target
@settings_options()
def boundary(
    loaded: Loaded,
    file: str | None,
    remove: bool,
    user_name: str | None,
    role_name: str | None,
    account: str,
) -> None:
    """A boundary allows nothing by itself."""
    if (file is None) != remove:
        raise click.UsageError("Name a policy, or --remove the boundary.")
    principals = principals_of(loaded.settings)
    who = _meant(principals, user_name, role_name, account)
    principals.set_boundary(who, "" if file is None else checked_actions("boundary", policy_text(file)[1]))
    click.echo(f"{who} has {'no boundary any more' if remove else 'a boundary'}.")


@users.command(help="Say to which regions the calls of a user, a role or an account may be sent.")
@click.option("--regions", metavar="LIST", help="Regions, or geographies such as eu, joined by commas.")
@click.option("--anywhere", is_flag=True, help="Lift the binding.")
@_target
@settings_options()
def bind(
    loaded: Loaded,
    regions: str | None,
    anywhere: bool,
    user_name: str | None,
    role_name: str | None,
    account: str,
) -> None:
    """Nothing outside is ever contacted; calls that could only run there are refused."""
    if (regions is None) != anywhere:
        raise click.UsageError("Say --regions eu,us-west-2 or --anywhere.")
    names = list(dict.fromkeys(name.strip() for name in (regions or "").split(",") if name.strip()))
    if not names and not anywhere:
        raise click.UsageError("--regions names no region; --anywhere lifts a binding.")
    naming.bound_regions(Catalog.load(loaded.settings.bedrock.edition), names, "--regions")
    principals = principals_of(loaded.settings)
    who = _meant(principals, user_name, role_name, account)
    principals.bind(who, names)
    click.echo(f"Calls of {who} are sent {'anywhere' if anywhere else 'to ' + ', '.join(names) + ' only'}.")


# ── who is meant, and how they are shown ──────────────────────────────────────────────────────────


def _meant(principals: Principals, user_name: str | None, role_name: str | None, account: str) -> str:
    """The ARN of the user or role that flags name, or the id of the account where they name only that."""
    if user_name and role_name:
        raise click.UsageError("Name a user or a role, not both.")
    if user_name:
        return _arn(principals, "user", user_name, account)
    if role_name:
        return _arn(principals, "role", role_name, account)
    if account:
        return account_id(principals, account)
    raise click.UsageError("Say who is meant: --user NAME, --role NAME, or --account ID.")


def _arn(principals: Principals, kind: str, name: str, account: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:iam::{account_id(principals, account) or principals.account}:{kind}/{name}"


def _kind(owner: Owner) -> str:
    from outcrop.service.principals import Account

    return "service control policy" if isinstance(owner, Account) else "identity policy"


def _described(owner: Owner) -> dict[str, Any]:
    """One row of a list, or the fields of one thing."""
    from outcrop.service.principals import Account, User

    if isinstance(owner, Account):
        head = {"id": owner.id, "name": owner.name}
    else:
        unique = owner.user_id if isinstance(owner, User) else owner.role_id
        head = {"name": owner.name, "account": owner.account, "arn": owner.arn, "id": unique}
        head |= {"boundary": "yes" if owner.boundary else ""}
        if not isinstance(owner, User):
            head |= {"max_session": f"{owner.max_seconds} s"}
    shared = {
        "policies": ", ".join(owner.policies),
        "regions": ", ".join(owner.residency),
        "created": moment(owner.created),
    }
    return head | shared


def _indented(text: str) -> str:
    return msgspec.json.format(text.encode(), indent=2).decode()
