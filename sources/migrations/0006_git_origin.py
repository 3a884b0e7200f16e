from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sources", "0005_seed_javadoc")]

    operations = [
        migrations.AddField(
            "source",
            "repository",
            models.CharField(
                blank=True,
                help_text="The address of a Git repository; the paths are then folders in it (. for all of it). Example: https://github.com/BasisHub/DWC-Course.git",
                max_length=1000,
            ),
        ),
        migrations.AddField(
            "source",
            "revision",
            models.CharField(
                blank=True,
                help_text="Empty for the repository's default branch. Example: main",
                max_length=250,
                verbose_name="branch or tag",
            ),
        ),
        migrations.AddField(
            "source",
            "credential",
            models.CharField(
                blank=True,
                help_text="The name of a secret (a token or deploy key) that the operator provides, not the secret itself; empty for a public repository. Example: docs-key",
                max_length=60,
            ),
        ),
        migrations.AddField(
            "source",
            "link_template",
            models.CharField(
                blank=True,
                help_text="How the repository's host shows a line of a file; empty for GitHub, GitLab, Gitea and Bitbucket. Example: https://git.example.com/docs/{commit}/{path}#L{line}",
                max_length=1000,
            ),
        ),
    ]
