from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from bbjrag.second_factor import codes
from bbjrag.second_factor.codes import Answer


class CodeNeeded(Exception):
    """The password is right, and this person has a second factor."""

    def __init__(self, user: Any) -> None:
        super().__init__(str(user))
        self.user = user


class LoginForm(AdminAuthenticationForm):
    def confirm_login_allowed(self, user: Any) -> None:
        super().confirm_login_allowed(user)
        if codes.totp_of(user) is not None:
            raise CodeNeeded(user)


class CodeField(forms.CharField):
    def __init__(self) -> None:
        attributes = {"autocomplete": "one-time-code", "autofocus": True, "size": 12}
        super().__init__(label="Code", max_length=32, widget=forms.TextInput(attrs=attributes))


class SetUpForm(forms.Form):
    code = CodeField()


class CodeForm(forms.Form):
    """A code of this person's app, or one of their recovery codes; each try counts."""

    code = CodeField()

    def __init__(self, *args: Any, user: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.user = user
        self.answer: Answer | None = None

    def clean_code(self) -> str:
        code = str(self.cleaned_data["code"])
        self.answer = codes.answer(self.user, code)
        if self.answer is not Answer.RIGHT:
            raise ValidationError(refusal(self.answer, self.user.get_username()))
        return code

    @property
    def status(self) -> int:
        return 429 if self.answer is Answer.WAIT else 200


def refusal(answer: Answer, name: str) -> str:
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    return {
        Answer.WRONG: "This code is wrong or was used before. Type the one that the app shows "
        "now, or a recovery code.",
        Answer.WAIT: f"Too many wrong codes: try again in {minutes} minutes.",
        Answer.UNREADABLE: "Your second factor was stored with another SECRET_KEY. Ask an operator "
        f"to remove it: manage.py second_factor --remove {name}",
    }[answer]
