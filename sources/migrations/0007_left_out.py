"""Documents that are left out of search, and who may leave them out."""

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

MAY = {
    "Viewer": ["view_leftout"],
    "Manager": ["view_leftout", "add_leftout", "delete_leftout"],
    "Administrator": ["view_leftout", "add_leftout", "change_leftout", "delete_leftout"],
}


def give_permissions(apps: Any, schema_editor: Any) -> None:
    create_permissions(installed.get_app_config("sources"), apps=apps, verbosity=0)
    permission = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="sources"
    )
    for name, wanted in MAY.items():
        for group in apps.get_model("auth", "Group").objects.filter(name=name):
            group.permissions.add(*permission.filter(codename__in=wanted))


class Migration(migrations.Migration):
    dependencies = [("sources", "0006_git_origin"), ("ingestion", "0007_roles")]
    operations = [
        migrations.CreateModel(
            name="LeftOut",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "url",
                    models.CharField(max_length=2000, unique=True, verbose_name="address"),
                ),
                ("title", models.CharField(blank=True, max_length=1000)),
                (
                    "reason",
                    models.CharField(
                        help_text="For others, and for later. Example: describes a beta version",
                        max_length=500,
                    ),
                ),
                (
                    "author",
                    models.CharField(blank=True, help_text="Who left it out.", max_length=150),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="left_out",
                        to="sources.source",
                    ),
                ),
            ],
            options={
                "verbose_name": "document left out of search",
                "verbose_name_plural": "documents left out of search",
                "ordering": ["-created_at", "-pk"],
            },
        ),
        migrations.RunPython(give_permissions, migrations.RunPython.noop),
    ]
