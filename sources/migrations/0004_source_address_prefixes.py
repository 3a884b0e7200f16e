"""Documents keep the addresses they have, however many paths their source is given from now on."""

from __future__ import annotations

import posixpath
from typing import Any

from django.db import migrations, models


def keep_prefixes(apps: Any, schema_editor: Any) -> None:
    """As addresses were made until now: a path begins them where there are several.

    A source without documents has no addresses to keep.
    """
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('ingestion_document') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return
        cursor.execute("SELECT DISTINCT source_id FROM ingestion_document")
        read = [row[0] for row in cursor.fetchall()]
    sources = apps.get_model("sources", "Source").objects.filter(pk__in=read)
    for source in sources.exclude(paths=[]):
        several = len(source.paths) > 1
        source.address_prefixes = {
            posixpath.normpath(path).strip("/"): path.strip("/") if several else ""
            for path in source.paths
        }
        source.save(update_fields=["address_prefixes"])


class Migration(migrations.Migration):
    dependencies = [("sources", "0003_source_memory")]
    operations = [
        migrations.AddField(
            model_name="source",
            name="address_prefixes",
            field=models.JSONField(
                default=dict,
                editable=False,
                help_text="What the addresses of documents below each path begin with: see "
                "`ingestion.parsers.files.address_prefixes`. A run writes it.",
            ),
        ),
        migrations.RunPython(keep_prefixes, migrations.RunPython.noop),
    ]
