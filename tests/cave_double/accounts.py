"""Who asks and what they may do: tokens, permissions, terms of service, and the refusals of middle_auth (2.1)."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.cave_double.replies import HTML, Refusal, Reply, Request, json_reply, plain

TOKEN = re.compile("[0-9a-f]{32}")
SERVICE_TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - opens a double only


@dataclass
class User:
    """An account: permissions by datastack or volume name (`*` for any), and what it has not accepted or become."""

    id: int
    email: str
    permissions: dict[str, set[str]]
    admin: bool = False
    groups: set[str] = field(default_factory=set)
    unsigned: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By dataset name, the terms that must be accepted first: tos_id, tos_name, tos_form_url."""

    def may(self, permission: str, dataset: str) -> bool:
        """Whether the account has a permission for a dataset."""
        return permission in self.permissions.get(dataset, self.permissions.get("*", set()))


class Accounts:
    """The tokens that the services know."""

    def __init__(self) -> None:
        self.required = True
        """Whether tokens are asked for at all; AnnotationEngine alone can run without (user 0)."""
        self.users: dict[str, User] = {}
        self.expired: set[str] = set()
        self._ids = itertools.count(1)
        self.made = itertools.count(1)
        self.nobody = User(0, "nobody@example.org", {"*": {"view", "edit"}}, admin=True)

    def add(self, token: str | None = None, *, admin: bool = False, **permissions: set[str]) -> str:
        """A new account; gives back its token.  Without permissions it may view and edit everything."""
        number = next(self._ids)
        token = token or f"{next(self.made):032x}"
        self.users[token] = User(number, f"user{number}@example.org", permissions or {"*": {"view", "edit"}}, admin)
        return token

    def unsigned(self, token: str, dataset: str, *, tos_id: int = 7, name: str = "Terms of the consortium") -> None:
        """Let an account not have accepted the terms of a dataset."""
        form = f"https://forms.example.org/tos/{tos_id}"
        self.users[token].unsigned[dataset] = {"tos_id": tos_id, "tos_name": name, "tos_form_url": form}

    def user(self, request: Request) -> User:
        """Who asks; refuses as middle_auth does."""
        if not self.required:
            return self.nobody
        header = request.headers.get("authorization")
        if header is None and "middle_auth_token" not in request.args:
            if "x-requested-with" in request.headers or "origin" in request.headers:
                raise unauthorized("no_token", "Unauthorized - No Token Provided")
            raise Refusal(Reply(b"", HTML, 302, {"Location": f"/sticky_auth/login?redirect={quote(request.path)}"}))
        token = request.args.get("middle_auth_token", "")
        if header is not None:
            if not header.startswith("Bearer "):
                raise error(400, "bad_auth_header", "Authorization header must begin with 'Bearer'")
            token = header.removeprefix("Bearer ")
        if token in self.expired or token not in self.users:
            raise unauthorized("invalid_token", "Unauthorized - Token is Invalid or Expired")
        return self.users[token]

    def check(self, request: Request, dataset: str, permission: str = "view") -> User:
        """Refuse who may not do this with a dataset; gives back the account."""
        user = self.user(request)
        if dataset in user.unsigned:
            terms = user.unsigned[dataset]
            message = f"Forbidden: Need to accept Terms of Service {terms['tos_name']} to access resource."
            raise error(403, "missing_tos", message, terms)
        if not user.may(permission, dataset):
            message = f"Forbidden: Missing permission: {permission} for dataset {dataset}"
            raise error(403, "missing_permission", message, required_permission(permission, dataset))
        return user


def required_permission(permission: str, dataset: str) -> dict[str, Any]:
    """The data of a refusal for want of a permission."""
    return {"required_permission": permission, "auth_dataset": dataset}


def error(status: int, name: str, message: str, data: dict[str, Any] | None = None) -> Refusal:
    """The error object of middle_auth."""
    return Refusal(json_reply({"error": name, "message": message, **({"data": data} if data else {})}, status))


def unauthorized(name: str, message: str) -> Refusal:
    """A 401 with the challenge that belongs to it."""
    refusal = error(401, name, message)
    challenge = f'Bearer realm="Restricted Resource", error="{name}", error_description="{message}"'
    refusal.reply.headers["WWW-Authenticate"] = challenge
    return refusal


def auth_call(accounts: Accounts, request: Request, rest: list[str]) -> Reply:
    """`/auth/api/v1/...`."""
    user = accounts.user(request)
    tokens = [token for token, other in accounts.users.items() if other is user]
    match request.method, rest:
        case "GET", ["refresh_token"]:
            if len(tokens) > 1:
                raise error(400, "several_tokens", "this account has several tokens; create or delete them one by one")
            accounts.users.pop(tokens[0])
            return json_reply(new_token(accounts, user))
        case ("GET", ["create_token"]) | ("POST", ["user", "token"]):
            return json_reply(new_token(accounts, user))
        case "GET", ["user", "token"]:
            return json_reply([{"id": number, "token": token} for number, token in enumerate(tokens, 1)])
        case "GET", ["user", "cache"]:
            return json_reply(described(user))
        case "GET", ["user"]:
            wanted = {int(text) for text in request.args.get("id", "").split(",") if text}
            found = [described(other) for other in accounts.users.values() if other.id in wanted]
            return json_reply([{key: one[key] for key in ("id", "email", "name")} for one in found])
        case "GET", ["my_permissions"]:
            return json_reply({"permissions_v2": described(user)["permissions_v2"]})
    return plain("404 Not Found", 404)


def new_token(accounts: Accounts, user: User) -> str:
    """One more token of an account."""
    token = f"{next(accounts.made):032x}"
    accounts.users[token] = user
    return token


def described(user: User) -> dict[str, Any]:
    """An account as the services read it of the login service."""
    return {
        "id": user.id,
        "email": user.email,
        "name": f"User {user.id}",
        "admin": user.admin,
        "groups": sorted(user.groups),
        "permissions_v2": {name: sorted(rights) for name, rights in user.permissions.items()},
    }
