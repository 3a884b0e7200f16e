from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0013_ignored_problem")]

    operations = [
        migrations.AddField(
            "sourcerun",
            "commit",
            models.CharField(
                blank=True,
                help_text="What was read of a source in Git.",
                max_length=64,
            ),
        )
    ]
