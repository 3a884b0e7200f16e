"""People: a list with their roles, and an invitation by a link that works once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from ingestion.admin.display import ago, badge

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[User]
else:
    Admin = object  # mixed into Django's own page of users

MAY = {
    "Viewer": "sees and searches everything, changes nothing",
    "Manager": "adds and edits sources, runs them, approves removals, measures search",
    "Administrator": "does all that, deletes sources, and keeps people and tokens",
}


class InvitationForm(forms.ModelForm):  # type: ignore[type-arg]
    role = forms.ModelChoiceField(Group.objects.none(), empty_label=None, widget=forms.RadioSelect)

    class Meta:
        model = User
        fields = ("username", "email")
        labels = {"username": "Name to log in with", "email": "Mail address (optional)"}
        help_texts = {"username": "Letters, digits and @/./+/-/_ only."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast(Any, self.fields["role"])
        field.queryset = Group.objects.order_by("pk")
        field.initial = field.queryset.first()
        field.label_from_instance = described

    def save(self, commit: bool = True) -> User:
        person: User = super().save(commit=False)
        person.is_staff = True
        person.set_unusable_password()
        person.save()
        person.groups.add(self.cleaned_data["role"])
        return person


def described(role: Group) -> str:
    may = MAY.get(role.name)
    return f"{role.name}: {may}" if may else role.name


class People(Admin):
    """What the page of users has in addition to Django's own."""

    heading = "People"
    list_display = ("username", "role", "standing", "last_seen", "email")
    list_filter = ("groups", "is_active", "is_superuser")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("groups")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("invite/", wrap(self.invite), name="invite"),
            path("<int:pk>/link/", wrap(self.link), name="invitation_link"),
        ]
        return [*own, *super().get_urls()]

    def invite(self, request: HttpRequest) -> HttpResponse:
        """Make a person with a role, and show the link by which they choose their password."""
        if not request.user.has_perm("auth.add_user"):
            raise PermissionDenied
        form = InvitationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            person = form.save()
            role = form.cleaned_data["role"]
            self.log_addition(request, person, f"Invited as {role}.")
            return self._show_link(request, person)
        context = {**self._context(request), "title": "Invite somebody", "form": form}
        return TemplateResponse(request, "admin/people/invite.html", context)

    def link(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a new link for somebody who has none, or has forgotten the password."""
        if not request.user.has_perm("auth.change_user"):
            raise PermissionDenied
        person = get_object_or_404(User, pk=pk, is_active=True)
        if person.is_superuser and not request.user.is_superuser:
            raise PermissionDenied("Only a superuser makes a link for another superuser.")
        if request.method != "POST":
            shown = {"title": f"A new link for {person}?", "person": person}
            context = {**self._context(request), **shown}
            return TemplateResponse(request, "admin/people/link.html", context)
        self.log_change(request, person, "Made a link to choose a password.")
        return self._show_link(request, person)

    def _show_link(self, request: HttpRequest, person: User) -> HttpResponse:
        link = request.build_absolute_uri(invitation(person))
        context = {
            **self._context(request),
            "title": f"The link for {person}",
            "person": person,
            "link": link,
            "hours": settings.PASSWORD_RESET_TIMEOUT // 3600,
        }
        return TemplateResponse(request, "admin/people/invited.html", context)

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.opts}

    @admin.display(description="role")
    def role(self, person: User) -> str:
        names = [group.name for group in person.groups.all()]
        return ", ".join(["Superuser"] * person.is_superuser + names) or "none"

    @admin.display(description="state", ordering="is_active")
    def standing(self, person: User) -> str:
        if not person.is_active or not person.is_staff:
            return badge("off", "may not log in")
        if not person.has_usable_password() and not person.last_login:
            return badge("warn", "invited")
        return badge("ok", "active")

    @admin.display(description="last login", ordering="last_login")
    def last_seen(self, person: User) -> str:
        return ago(person.last_login) if person.last_login else "never"


def invitation(person: User) -> str:
    """The address by which a person chooses a password; good until one is chosen."""
    key = urlsafe_base64_encode(force_bytes(person.pk))
    return reverse("admin:invitation", args=[key, default_token_generator.make_token(person)])


class Invitation(PasswordResetConfirmView):
    """Where the link leads: choose a password, and be logged in."""

    template_name = "admin/people/accept.html"
    success_url = reverse_lazy("admin:index")
    post_reset_login = True
    post_reset_login_backend = "django.contrib.auth.backends.ModelBackend"
    reset_url_token = "choose"
    title = "Choose your password"

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        messages.success(self.request, "Welcome. From now on you log in with this password.")
        return response
