from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0010_state_labels")]

    operations = [
        migrations.AlterField(
            model_name="document",
            name="doc_type",
            field=models.CharField(db_index=True, max_length=40, verbose_name="type"),
        ),
    ]
