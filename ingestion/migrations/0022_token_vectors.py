from django.db import migrations, models

# A row fits into a page, and is read with it: no compression is tried, and no part lies elsewhere.
IN_ITS_ROW = """
    ALTER TABLE ingestion_tokenvectors ALTER vectors SET STORAGE MAIN;
    ALTER TABLE ingestion_tokenvectors SET (toast_tuple_target = 8160)"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0021_one_index_of_terms")]

    operations = [
        migrations.CreateModel(
            name="TokenVectors",
            fields=[
                (
                    "content_hash",
                    models.CharField(
                        help_text="Of the chunk.",
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "version",
                    models.PositiveSmallIntegerField(help_text="Of how they are made."),
                ),
                ("vectors", models.BinaryField()),
            ],
            options={
                "verbose_name": "token vectors",
                "verbose_name_plural": "token vectors",
                "default_permissions": (),
            },
        ),
        migrations.RunSQL(IN_ITS_ROW, migrations.RunSQL.noop),
    ]
