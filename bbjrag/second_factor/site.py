"""The admin site with a second factor: the page that asks for a code, and the one to set it up."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

from allauth.mfa.adapter import get_adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.views import RedirectURLMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View

from bbjrag.second_factor import codes, sessions
from bbjrag.second_factor.forms import CodeForm, CodeNeeded, LoginForm, SetUpForm
from ingestion.admin import site

NOT_THE_CODE = (
    "This is not the code that belongs to the secret. Check the clock of the device, "
    "and type the code that the app shows now."
)


class Site(site.Site):
    login_form = LoginForm

    def get_urls(self) -> list[URLPattern | URLResolver]:
        own = [
            path("login/code/", self.code, name="code"),
            path("second-factor/", self.admin_view(self.second_factor), name="second_factor"),
        ]
        return [*own, *super().get_urls()]

    @method_decorator(never_cache)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Log people in, or ask for a code once the password of somebody who has one is right."""
        try:
            return super().login(request, extra_context)
        except CodeNeeded as needed:
            sessions.begin(request, needed.user)
            wanted = request.POST.get("next", request.GET.get("next", ""))
            return redirect(f"{reverse('admin:code')}?{urlencode({'next': wanted})}")

    @method_decorator([never_cache, sensitive_post_parameters("code")])
    def code(self, request: HttpRequest) -> HttpResponse:
        """Ask for the code, and log in if it is right."""
        user = sessions.waiting(request)
        if user is None:
            messages.info(request, "Log in with your password first.")
            return redirect("admin:login")
        form = CodeForm(request.POST if request.method == "POST" else None, user=user)
        totp = codes.totp_of(user)
        if form.is_valid() and totp is not None:
            sessions.let_in(request, user, totp)
            return redirect(_Next(request=request).get_success_url())
        context = {**self.each_context(request), "title": "Log in", "form": form}
        page = "admin/second_factor/code.html"
        return TemplateResponse(request, page, context, status=form.status)

    @method_decorator(sensitive_post_parameters("code"))
    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """The page where people set up their own second factor, or change it."""
        has_one = codes.totp_of(request.user) is not None
        return self._change(request) if has_one else self._set_up(request)

    def _set_up(self, request: HttpRequest) -> HttpResponse:
        secret = sessions.secret(request)
        form = SetUpForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            if codes.set_up(request.user, secret, form.cleaned_data["code"]):
                return self._was_set_up(request)
            form.add_error("code", NOT_THE_CODE)
        address = get_adapter().build_totp_url(request.user, secret)
        shown = {"secret": secret, "address": address, "picture": picture(address), "form": form}
        return self._page(request, "set_up", **shown)

    def _was_set_up(self, request: HttpRequest) -> HttpResponse:
        sessions.forget_secret(request)
        sessions.mark(request, codes.totp_of(request.user))
        log(request, "Set up a second factor.")
        return self._show(request)

    def _change(self, request: HttpRequest) -> HttpResponse:
        """Each change needs a code, so that an open browser is not enough."""
        wish = CHANGES.get(request.POST.get("do", ""))
        form = CodeForm(request.POST if wish else None, user=request.user)
        if wish and form.is_valid():
            return wish(self, request)
        return self._page(request, "change", status=form.status, form=form)

    def _show(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, "recovery", codes=codes.recovery_codes(request.user))

    def _renew(self, request: HttpRequest) -> HttpResponse:
        new = codes.renewed_recovery_codes(request.user)
        log(request, "Made new recovery codes.")
        return self._page(request, "recovery", codes=new)

    def _remove(self, request: HttpRequest) -> HttpResponse:
        codes.remove(request.user)
        log(request, "Removed the second factor.")
        messages.success(request, "Removed: from now on your password alone lets you in.")
        return redirect("admin:second_factor")

    def _page(
        self, request: HttpRequest, name: str, status: int = 200, **shown: Any
    ) -> TemplateResponse:
        required = settings.SECOND_FACTOR == "required"
        context = {**self.each_context(request), "title": "Second factor", **shown}
        page = f"admin/second_factor/{name}.html"
        return TemplateResponse(request, page, {**context, "required": required}, status=status)


CHANGES = {"show": Site._show, "renew": Site._renew, "remove": Site._remove}


class _Next(RedirectURLMixin, View):
    """Where the login leads: only to this site."""

    next_page = "admin:index"


def picture(address: str) -> str:
    """The QR code as the address of an image, because the page allows no other place."""
    drawn = get_adapter().build_totp_svg(address)
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}"


def log(request: HttpRequest, what: str) -> None:
    LogEntry.objects.log_actions(request.user.pk, [request.user], CHANGE, what)  # type: ignore[arg-type, list-item]
