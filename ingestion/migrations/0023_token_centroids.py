from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models

# A search reads the centroids of thousands of rows, and the vectors of few: those lie elsewhere.
CENTROIDS_IN_THEIR_ROW = """
    ALTER TABLE ingestion_tokenvectors ALTER vectors SET STORAGE EXTERNAL;
    ALTER TABLE ingestion_tokenvectors ALTER centroids SET STORAGE MAIN;
    ALTER TABLE ingestion_tokenvectors ALTER centroid_bytes SET STORAGE MAIN;
    ALTER TABLE ingestion_tokenvectors SET (toast_tuple_target = 1024)"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0022_token_vectors")]

    operations = [
        migrations.AddField(
            model_name="tokenvectors",
            name="centroids",
            field=ArrayField(
                base_field=models.SmallIntegerField(),
                default=list,
                help_text="Those that the tokens are nearest to; a search finds texts by them.",
            ),
        ),
        migrations.AddField(
            model_name="tokenvectors",
            name="centroid_bytes",
            field=models.BinaryField(
                default=b"", help_text="The same, as a search reads them: two bytes each."
            ),
        ),
        migrations.AddIndex(
            model_name="tokenvectors",
            index=GinIndex(
                fields=["centroids"], name="token_vectors_centroids_gin", fastupdate=False
            ),
        ),
        migrations.RunSQL(CENTROIDS_IN_THEIR_ROW, migrations.RunSQL.noop),
    ]
