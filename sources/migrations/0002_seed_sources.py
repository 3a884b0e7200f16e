"""The nine sources of the BBj documentation, with the paths and addresses they really have."""

from django.db import migrations

DOCS = "https://documentation.basis.cloud/BASISHelp/WebHelp/"
HUB = "https://basishub.github.io/"
SOURCES = [
    {
        "name": "flare",
        "title": "BBj documentation",
        "parser": "FlareParser",
        "paths": ["bbjdocs"],
        "generation": "bbj",
        "display_base_url": DOCS,
    },
    {
        "name": "pdf",
        "title": "Guide to GUI Programming in BBj",
        "parser": "PdfParser",
        "paths": ["bbj-ai-strategy/GuideToGuiProgrammingInBBj.pdf"],
        "generation": "bbj_gui",
    },
    {
        "name": "mdx-dwc",
        "title": "DWC tutorial",
        "parser": "MdxParser",
        "paths": ["bbj-dwc-tutorial/docs"],
        "generation": "dwc",
        "display_base_url": HUB + "DWC-Course/",
    },
    {
        "name": "mdx-beginner",
        "title": "BBj beginner tutorial",
        "parser": "MdxParser",
        "paths": ["bbj-beginner-tutorial/docs"],
        "generation": "bbj",
        "display_base_url": HUB + "BBj-Beginner-Tutorial/",
    },
    {
        "name": "mdx-db-modernization",
        "title": "Database modernization tutorial",
        "parser": "MdxParser",
        "paths": ["bbj-db-modernization-tutorial/docs"],
        "generation": "bbj",
        "display_base_url": HUB + "Database-Modernization-Tutorial/",
    },
    {
        "name": "bbj-source",
        "title": "BBj sample programs",
        "parser": "BbjSourceParser",
        "paths": ["bbj-dwc-tutorial/samples", "bbj-beginner-tutorial"],
        "generation": "auto",
    },
    {
        "name": "advantage",
        "title": "BASIS International Advantage magazine",
        "parser": "AdvantageParser",
        "start_url": "https://basis.cloud/advantage-index/",
        "generation": "bbj",
    },
    {
        "name": "kb",
        "title": "BASIS knowledge base",
        "parser": "KnowledgeBaseParser",
        "start_url": "https://basis.cloud/knowledge-base/",
        "generation": "bbj",
    },
    {
        "name": "web-crawl",
        "title": "BBj documentation, as published",
        "parser": "WebCrawlParser",
        "start_url": DOCS,
        "generation": "bbj",
    },
]


def seed(apps, schema_editor):
    source = apps.get_model("sources", "Source")
    for row in SOURCES:
        source.objects.get_or_create(name=row["name"], defaults=row)


class Migration(migrations.Migration):
    dependencies = [("sources", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
