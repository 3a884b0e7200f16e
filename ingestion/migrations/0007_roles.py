"""The groups that people are put into: Viewer, Manager, Administrator."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

LOOK = [
    ("sources", "view_source"),
    *(
        ("ingestion", f"view_{model}")
        for model in ("document", "chunk", "embeddingprofile", "run", "sourcerun", "failure")
    ),
]
MANAGE = [
    *LOOK,
    ("sources", "add_source"),
    ("sources", "change_source"),
    ("ingestion", "start_run"),
    ("ingestion", "cancel_run"),
    ("ingestion", "decide_removal"),
]
ADMINISTERED = ("sources", "ingestion", "auth", "admin")


def make_groups(apps, schema_editor):
    for label in ADMINISTERED:
        # Django makes them after all migrations only, which is too late for the groups.
        create_permissions(installed.get_app_config(label), apps=apps, verbosity=0)
    permission = apps.get_model("auth", "Permission").objects
    group = apps.get_model("auth", "Group").objects
    for name, wanted in (("Viewer", LOOK), ("Manager", MANAGE)):
        found = [
            permission.get(content_type__app_label=label, codename=code) for label, code in wanted
        ]
        group.get_or_create(name=name)[0].permissions.add(*found)
    everything = permission.filter(content_type__app_label__in=ADMINISTERED)
    group.get_or_create(name="Administrator")[0].permissions.add(*everything)


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0006_quality_and_permissions"),
        ("sources", "0003_source_memory"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
