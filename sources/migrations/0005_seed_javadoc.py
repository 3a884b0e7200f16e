"""The tenth source: BBj's API, as JavaDoc in JSON."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import migrations

FOLDER = "javadoc"


def seed(apps: Any, schema_editor: Any) -> None:
    """Add the row, unless there is one of its name.

    It is disabled if sources were read here before and its folder is missing, so that no run that
    succeeded until now begins to fail.
    """
    row = {
        "title": "BBj API (JavaDoc)",
        "parser": "JavaDocParser",
        "paths": [FOLDER],
        "generation": "bbj",
        "enabled": (Path(settings.DATA_DIR) / FOLDER).is_dir() or not _has_documents(schema_editor),
    }
    apps.get_model("sources", "Source").objects.get_or_create(name="javadoc", defaults=row)


def _has_documents(schema_editor: Any) -> bool:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('ingestion_document') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT EXISTS (SELECT FROM ingestion_document)")
        return bool(cursor.fetchone()[0])


class Migration(migrations.Migration):
    dependencies = [("sources", "0004_path_addresses")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
