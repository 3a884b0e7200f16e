"""What parsers remember from one reading to the next."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sources", "0002_seed_sources")]
    operations = [
        migrations.CreateModel(
            name="SourceMemory",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "read_key",
                    models.CharField(
                        help_text="The parser, its version and the source's settings at that reading.",
                        max_length=64,
                    ),
                ),
                ("data", models.JSONField(default=dict)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "source",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memory",
                        to="sources.source",
                    ),
                ),
            ],
        ),
    ]
