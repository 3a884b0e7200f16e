"""The accounts here of people whom the provider knows: made, linked, and given their roles."""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction

from bbjrag.oidc import SUPERUSER
from bbjrag.single_sign_on.claims import Identity, roles
from bbjrag.single_sign_on.refusals import Refusal, SignInRefused

Link = Any  # a row of allauth.socialaccount


def links() -> Any:
    """Those to this provider: with another one, the same subject may be somebody else."""
    return SocialAccount.objects.filter(provider=settings.OIDC_ISSUER)


def link_of(user: Any) -> Link | None:
    return links().filter(user_id=user.pk).first()


def linked(subject: str) -> User | None:
    link = links().filter(uid=subject).select_related("user").first()
    return link.user if link else None


@transaction.atomic
def link(user: User, subject: str) -> None:
    """Raises SignInRefused if that account of the provider belongs to another one here."""
    other = linked(subject)
    if other is not None and other.pk != user.pk:
        raise SignInRefused(Refusal.OTHER, reason=f"{user} and {other}")
    links().filter(user_id=user.pk).delete()
    SocialAccount.objects.create(user=user, provider=settings.OIDC_ISSUER, uid=subject)
    _log(user, CHANGE, f"Linked to {settings.OIDC_LABEL}.")


def unlink(user: User) -> bool:
    """Whether there was a link."""
    removed = bool(links().filter(user_id=user.pk).delete()[0])
    if removed:
        _log(user, CHANGE, f"Removed the link to {settings.OIDC_LABEL}.")
    return removed


def admitted(known: Identity) -> User:
    """The account of this person, with the roles of now. Raises SignInRefused."""
    given = _that_are_here(roles(known.values, settings.OIDC_ROLES))
    user = linked(known.subject)
    if not given:
        _take_away(user)
        raise SignInRefused(Refusal.NO_ROLE, _lacking(known), reason=f"{known.name} has no role")
    if user is None:
        user = _made(known)
    if not user.is_active:
        raise SignInRefused(Refusal.DISABLED, user.username)
    _set_roles(user, given)
    if not user.has_usable_password():
        _describe(user, known)
    return user


def _that_are_here(names: set[str]) -> set[str]:
    here = set(Group.objects.filter(name__in=names).values_list("name", flat=True))
    return here | (names & {SUPERUSER})


def _lacking(known: Identity) -> str:
    claim = settings.OIDC_ROLE_CLAIM
    if not known.values:
        return f"“{claim}” is missing or empty"
    return f"“{claim}” says {', '.join(known.values[:10])}, none of which gives a role"


def _made(known: Identity) -> User:
    """A new account. An address of mail that is the same links nothing."""
    user = User(username=known.name, is_staff=True)
    user.set_unusable_password()
    try:
        with transaction.atomic():
            if User.objects.filter(username__iexact=known.name).exists():
                raise _taken(known)
            user.save()
            SocialAccount.objects.create(
                user=user, provider=settings.OIDC_ISSUER, uid=known.subject
            )
    except IntegrityError:  # the same person, in another window
        if (meanwhile := linked(known.subject)) is None:
            raise _taken(known) from None
        return meanwhile
    _log(user, ADDITION, f"Came by single sign-on of {settings.OIDC_LABEL}.")
    return user


def _taken(known: Identity) -> SignInRefused:
    refusal = Refusal.TAKEN_FOR_GOOD if settings.OIDC_ONLY else Refusal.TAKEN
    return SignInRefused(refusal, known.name, reason=f"{known.name} is an account, not linked")


def _describe(user: User, known: Identity) -> None:
    """Bring name and address up to date. The name at login stays what it was."""
    user.first_name, user.last_name = known.first_name, known.last_name
    user.email = known.email
    user.save(update_fields=["first_name", "last_name", "email"])


def _take_away(user: User | None) -> None:
    """Its roles; and, if only the provider could let it in, the admin as a whole."""
    if user is None:
        return
    _set_roles(user, set())
    if not user.has_usable_password():
        User.objects.filter(pk=user.pk).update(is_staff=False)


def _set_roles(user: User, given: set[str]) -> None:
    """Exactly these, of the roles that OIDC_ROLES names; others stay."""
    before = _held(user)
    governed = set(settings.OIDC_ROLES.values())
    user.groups.remove(*user.groups.filter(name__in=governed - given))
    user.groups.add(*Group.objects.filter(name__in=given))
    if SUPERUSER in governed:
        user.is_superuser = SUPERUSER in given
    user.is_staff = user.is_staff or bool(given)
    user.save(update_fields=["is_superuser", "is_staff"])
    if (after := _held(user)) != before:
        _log(user, CHANGE, f"Roles by single sign-on: {before} → {after}.")


def _held(user: User) -> str:
    names = [group.name for group in user.groups.order_by("name")]
    return ", ".join(["superuser"] * user.is_superuser + names) or "none"


def _log(user: User, kind: int, what: str) -> None:
    LogEntry.objects.log_actions(user.pk, [user], kind, what)
