from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0004_scheduled_run")]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="window_start",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="window_requests",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
    ]
