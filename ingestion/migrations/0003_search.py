from __future__ import annotations

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial")]

    operations = [
        # What PostgreSQL's own parser had made stays until a run indexes the document anew.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE ingestion_chunk ALTER COLUMN search_vector DROP EXPRESSION",
                    reverse_sql=[
                        "ALTER TABLE ingestion_chunk DROP COLUMN search_vector",
                        "ALTER TABLE ingestion_chunk ADD COLUMN search_vector tsvector"
                        " GENERATED ALWAYS AS"
                        " (setweight(to_tsvector('english'::regconfig, title::text), 'A')"
                        " || setweight(to_tsvector('english'::regconfig, context_header), 'B')"
                        " || setweight(to_tsvector('english'::regconfig, content), 'C')) STORED",
                        "CREATE INDEX chunk_search_vector_gin ON ingestion_chunk"
                        " USING gin (search_vector)",
                    ],
                )
            ],
            state_operations=[
                migrations.RemoveField(model_name="chunk", name="search_vector"),
                migrations.AddField(
                    model_name="chunk",
                    name="search_vector",
                    field=django.contrib.postgres.search.SearchVectorField(
                        null=True,
                        help_text="Made by `ingestion.text.analyzer`, which takes identifiers apart.",
                    ),
                ),
            ],
        ),
        # Kept in the row, for ranking reads it once for each term; content and vector move out.
        migrations.RunSQL(
            "ALTER TABLE ingestion_chunk ALTER COLUMN search_vector SET STORAGE MAIN",
            reverse_sql=migrations.RunSQL.noop,
        ),
        migrations.CreateModel(
            name="SearchTerm",
            fields=[
                ("term", models.TextField(primary_key=True, serialize=False)),
                ("chunks", models.PositiveIntegerField()),
                (
                    "trigrams",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), default=list, size=None
                    ),
                ),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fields=["trigrams"], name="search_term_trigrams_gin"
                    ),
                    models.Index(
                        django.contrib.postgres.indexes.OpClass("term", name="text_pattern_ops"),
                        name="search_term_beginning",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=100, help_text="Who uses it. Example: editor plug-in"
                    ),
                ),
                (
                    "beginning",
                    models.CharField(max_length=12, help_text="To tell tokens apart."),
                ),
                (
                    "digest",
                    models.CharField(max_length=64, unique=True, help_text="SHA-256, in hex."),
                ),
                ("requests_per_minute", models.PositiveIntegerField(default=120)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("last_used_at", models.DateTimeField(null=True, blank=True)),
                ("revoked_at", models.DateTimeField(null=True, blank=True)),
            ],
            options={"verbose_name": "API token", "ordering": ["name", "pk"]},
        ),
    ]
