"""Documents keep the addresses they have, however many paths their source is given from now on."""

import posixpath
from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def keep_addresses(apps: Any, schema_editor: Any) -> None:
    """As addresses were made until now: a path begins them where there are several.

    A source without documents has no addresses to keep.
    """
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('ingestion_document') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return
        cursor.execute("SELECT DISTINCT source_id FROM ingestion_document")
        read = [row[0] for row in cursor.fetchall()]
    address = apps.get_model("sources", "PathAddress")
    for source in apps.get_model("sources", "Source").objects.filter(pk__in=read):
        several = len(source.paths) > 1
        for path in source.paths:
            address.objects.get_or_create(
                source=source,
                path=posixpath.normpath(path).strip("/"),
                defaults={"prefix": path.strip("/") if several else ""},
            )


class Migration(migrations.Migration):
    dependencies = [
        ("sources", "0003_source_memory"),
    ]

    operations = [
        migrations.CreateModel(
            name="PathAddress",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("path", models.CharField(max_length=500)),
                ("prefix", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AlterConstraint(
            model_name="source",
            name="source_name_unique_in_any_case",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("name"),
                name="source_name_unique_in_any_case",
                violation_error_message="Another source has this name.",
            ),
        ),
        migrations.AddField(
            model_name="pathaddress",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="path_addresses",
                to="sources.source",
            ),
        ),
        migrations.AddConstraint(
            model_name="pathaddress",
            constraint=models.UniqueConstraint(fields=("source", "path"), name="path_address"),
        ),
        migrations.RunPython(keep_addresses, migrations.RunPython.noop),
    ]
