from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from hypothesis import settings as hypothesis_settings

from tests.support import distribution, emptying

# The same examples each time: what CI says depends on the code alone. Others are tried with
# --hypothesis-profile=default.
hypothesis_settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis_settings.load_profile("steady")

# What takes more than a moment, as it starts processes, browsers or servers, or reads much:
# `make test-fast` leaves it out.
SLOW = (
    "admin",
    "api/test_build_script.py",
    "api/test_openapi.py",
    "api/test_runs.py",
    "bbjrag/test_embedded.py",
    "bbjrag/test_production.py",
    "bbjrag/test_second_factor.py",
    "bbjrag/test_single_sign_on.py",
    "chunking/test_stage.py",
    "faults",
    "index/test_export.py",
    "index/test_moves.py",
    "index/test_term_statistics.py",
    "journeys",
    "management",
    "mcp",
    "parsers/test_mdx.py",
    "parsers/web/test_crawl.py",
    "parsers/web/test_runs.py",
    "project",
    "runs/test_dry_run.py",
    "runs/test_worse_chunks.py",
    "search/test_search_meanwhile.py",
    "settings",
    "test_access.py",
    "test_pipeline.py",
)


# What takes many seconds, mostly beside quicker tests of the same part: for make test-faults.
LONG = (
    "admin/test_browser.py::test_everybody_can_use_the_pages[dark]",
    "admin/test_document_page.py::test_everybody_can_use_it[1400-dark]",
    "admin/test_document_page.py::test_everybody_can_use_it[1400-light]",
    "admin/test_document_page.py::test_everybody_can_use_it[390-light]",
    "admin/test_highlighting.py::test_the_place_of_a_chunk_of_real_material_is_marked",
    "admin/test_problems_page.py::test_long_texts_push_nothing_out[768]",
    "admin/test_problems_page.py::test_long_texts_push_nothing_out[1400]",
    "admin/test_run_page.py::test_figures_that_mean_the_same_agree_at_every_moment",
    "admin/test_run_page.py::test_the_pages_of_runs_can_be_used_by_everybody[768]",
    "api/test_build_script.py",
    "bbjrag/test_second_factor.py::test_an_operator_removes_it",
    "bbjrag/test_single_sign_on.py::test_an_operator_links_and_unlinks",
    "chunking/test_stage.py::test_documents_come_out_in_order_with_their_own_chunks[0]",
    "embedding/test_minilm.py::test_minilm_gives_what_ollama_gives_with_the_same_model",
    "faults/test_injected.py",
    "git/test_faults.py",
    "git/test_material.py::test_history_is_kept_small",
    "git/test_material.py::test_submodules_and_lfs_are_left_out_with_a_warning",
    "git/test_servers.py::test_a_repository_above_the_limit_is_cut_off",
    "hostile/test_growth.py::test_time_grows_in_proportion[the front matter of a page]",
    "journeys/test_adding_sources.py::test_a_source_that_reads_a_site[AdvantageParser]",
    "journeys/test_adding_sources.py::test_a_source_that_reads_a_site[WebCrawlParser]",
    "journeys/test_adding_sources.py::test_a_source_that_reads_files[BbjSourceParser]",
    "journeys/test_adding_sources.py::test_a_source_that_reads_files[JavaDocParser]",
    "journeys/test_adding_sources.py::test_a_source_that_reads_files[PdfParser]",
    "journeys/test_adding_sources.py::test_a_source_that_reads_a_site[KnowledgeBaseParser]",
    "journeys/test_adding_sources.py::test_a_source_that_reads_files[MdxParser]",
    "journeys/test_git_source.py",
    "journeys/test_lost_contact.py",
    "journeys/test_schedule.py",
    "journeys/test_viewer.py",
    "parsers/test_flare.py::test_the_time_for_a_broken_topic_grows_in_proportion",
    "parsers/web/test_corpus.py",
    "parsers/web/test_repeats.py",
    "processes/test_isolation.py::test_waiting_for_a_processor_does_not_count",
    "project/test_containers.py::test_every_service_starts_gets_healthy_and_ends_when_told",
    "project/test_containers.py::test_our_services_live_within_their_limits",
    "project/test_packaging.py::test_what_is_installed_works_outside_the_checkout[alone]",
    "runs/test_reembedding_processes.py",
    "search/test_named.py::test_of_forty_names_of_real_members_the_entry_is_first",
    "settings/test_enrichment.py",
    "settings/test_evaluations.py::test_search_is_measured_after_a_run",
    "settings/test_held_up.py::test_clients_that_send_slowly_hold_up_nobody[body-400]",
    "settings/test_held_up.py::test_many_previews_at_once_hold_up_nobody",
    "settings/test_held_up.py::test_the_page_of_the_health_does_not_wait_for_an_embedder_that_hangs",
    "settings/test_notifications.py::test_nothing_is_watched_before_it_is_set_up",
    "settings/test_notifications.py::test_a_source_that_has_not_been_read_for_long_is_told_of",
    "settings/test_notifications.py::test_the_button_of_the_page_sends_a_test",
    "settings/test_query_log.py::test_it_is_kept_for_so_many_days",
    "settings/test_retention.py",
    "settings/test_single_sign_on.py",
    "test_access.py::test_the_nearest_are_found_among_the_sources_of_a_token",
)

# Those of the processes that tests start are as slow as they have to be.
PASSWORD_HASHERS = ("MD5PasswordHasher", "PBKDF2PasswordHasher")


def pytest_configure() -> None:
    hashers = [f"django.contrib.auth.hashers.{name}" for name in PASSWORD_HASHERS]
    settings.PASSWORD_HASHERS = hashers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        if place.startswith(SLOW):
            item.add_marker("slow")
        if f"{place}{item.nodeid[item.nodeid.index('::') :]}".startswith(LONG):
            item.add_marker("long")
    items[:] = distribution.in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> distribution.ByModule:
    return distribution.ByModule(config, log)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real material that BBJRAG_CORPUS names."""
    folder = os.environ.get("BBJRAG_CORPUS", "")
    if not folder:
        pytest.skip("BBJRAG_CORPUS names no folder of real material")
    return Path(folder)


@pytest.fixture(scope="session")
def own_number() -> Iterator[int]:
    """A number that no other test session has at the same time, so that several can run at once."""
    folder = Path(settings.STATE_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        with (folder / f"session-{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    own_number: int, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Each test session has a database of its own."""
    for connection in connections.all():
        connection.settings_dict["TEST"]["NAME"] = f"test_bbjrag_{own_number}"


@pytest.fixture(scope="session", autouse=True)
def quick_emptying() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        emptying.replace_the_flush(patch)
        yield
