from __future__ import annotations

from django.contrib import admin
from django.urls import path

from bbjrag.single_sign_on import views

app_name = "single_sign_on"
urlpatterns = [
    path("login/sso/", views.start, name="start"),
    path("login/sso/callback/", views.callback, name="callback"),
    path("logout/sso/", views.sign_out, name="sign_out"),
    path("single-sign-on/", admin.site.admin_view(views.account), name="account"),
    path("single-sign-on/link/", admin.site.admin_view(views.link), name="link"),
]
