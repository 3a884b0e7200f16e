from django.db import migrations


class Migration(migrations.Migration):
    """PostgreSQL has the same index for the primary key, made by Django."""

    dependencies = [("ingestion", "0020_notifications_and_asked_queries")]

    operations = [migrations.RemoveIndex(model_name="searchterm", name="search_term_beginning")]
