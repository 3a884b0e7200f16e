from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.autodiscover()

handler400 = "ingestion.admin.errors.bad_request"
handler403 = "ingestion.admin.errors.denied"
handler404 = "ingestion.admin.errors.not_found"
handler500 = "ingestion.admin.errors.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("ingestion.api.urls")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
if settings.OIDC_ISSUER:
    urlpatterns.insert(0, path("admin/", include("bbjrag.single_sign_on.urls")))
