"""The numbered points of the contract (§8), each with the tests that hold it; what is later work is named.

`FILE::NAME` below tests/, the class left out. A point whose test goes away, or has no test at all, fails here.
"""

import ast

import pytest

from tests.conftest import ROOT

POINTS: dict[int, list[str]] = {
    # Auth and users
    1: [
        "auth/test_api_token.py::every_padding_round_trips",
        "auth/test_callers.py::a_token_may_stand_in_any_of_the_headers",
    ],
    2: ["auth/test_callers.py::a_token_expires_by_name", "auth/test_policies.py::age_and_skew"],
    3: [
        "auth/test_callers.py::bad_credentials_look_alike",
        "auth/test_callers.py::every_protected_route_is_closed_to_nobody",
    ],
    4: ["auth/test_callers.py::first_sight_makes_the_user_and_a_new_name_is_kept"],
    5: [
        "auth/test_api_token.py::keys_have_the_form_that_issuers_read",
        "auth/test_management.py::a_weak_key_on_demand_with_an_end_and_a_warning",
    ],
    6: [
        "live/test_identity_commands.py::clients_and_their_keys",
        "admin/test_admin.py::a_client_from_its_first_key_to_its_end",
    ],
    7: ["auth/test_callers.py::the_right_passphrase_leads_to_the_page_with_a_session"],
    8: ["auth/test_callers.py::everything_else_leads_to_the_refusal"],
    9: ["auth/test_wecom_login.py::what_wecom_is_told"],
    10: [
        "auth/test_wecom_login.py::a_member_comes_in_as_a_user_of_the_client",
        "auth/test_wecom_login.py::codes_that_are_none",
    ],
    11: ["auth/test_callers.py::callers_are_told_who_they_are"],
    12: [
        "auth/test_policies.py::disabled_means_out",
        "auth/test_policies.py::replay_across_processes_and_a_restart",
    ],
    # Sessions, history, questions
    13: [
        "chat/test_sessions.py::saving_inserts_and_then_updates",
        "chat/test_sessions.py::anothers_session_is_not_there",
    ],
    14: ["chat/test_sessions.py::sessions_are_listed_newest_first_in_pages"],
    15: [
        "chat/test_sessions.py::a_session_is_deleted_in_every_form",
        "chat/test_sessions.py::delete_without_an_id",
    ],
    16: [
        "chat/test_sessions.py::history_comes_newest_first_and_in_pages",
        "chat/test_sessions.py::paging_is_stable_within_a_second",
    ],
    17: ["chat/test_sessions.py::asking_again_uses_the_same_record"],
    18: [
        "chat/test_feedback.py::feedback_is_kept_and_replaced",
        "chat/test_feedback.py::what_is_no_feedback",
    ],
    19: [
        "kb/test_questions.py::the_three_cases_of_a_knowledge_base",
        "kb/test_questions.py::the_same_words_are_offered_once",
    ],
    20: ["kb/test_questions.py::save_adds_changes_and_disables"],
    # Chat
    21: [
        "test_chat_with_provider.py::an_answer_arrives_in_every_form",
        "chat/test_wire_forms.py::the_form_is_as_recorded",
    ],
    22: [
        "test_main_job.py::the_stream_is_the_contracts",
        "test_main_job.py::asking_an_unknown_knowledge_base",
    ],
    23: ["test_main_job.py::upload_ask_and_cite"],
    24: [
        "test_chat_with_provider.py::a_question_without_hits_gets_the_empty_prompt",
        "test_main_job.py::nothing_fits",
    ],
    25: [
        "test_main_job.py::bad_chat_requests",
        "test_main_job.py::unknown_models_and_prompts_name_what_there_is",
    ],
    26: [
        "chat/test_memory.py::one_to_fifty_rounds_of_any_shape_are_accepted",
        "chat/test_memory.py::prompt_history_and_answer_fit_the_model",
    ],
    27: [
        "chat/test_search_chat.py::the_engines_are_listed",
        "chat/test_search_chat.py::what_fails_is_refused_before_the_first_byte",
    ],
    28: [
        "chat/test_agent_chat.py::an_answer_in_every_form",
        "agent/test_toolbox.py::no_tool_writes_or_runs_commands",
    ],
    29: ["chat/test_raw.py::the_text_arrives_in_every_form"],
    30: ["test_chat_with_provider.py::a_reader_who_leaves_ends_the_call_and_keeps_what_was_said"],
    31: [
        "test_chat_with_provider.py::a_failure_is_readable_in_every_form",
        "chat/test_memory.py::a_broken_answer_is_kept_and_marked",
    ],
    # Knowledge bases
    32: ["kb/test_knowledge_bases.py::create_list_delete", "kb/test_upkeep.py::zh_name_and_info"],
    33: [
        "kb/test_files.py::bad_kb_names",
        "kb/test_files.py::bad_file_names",
        "kb/test_knowledge_bases.py::what_cannot_be_created",
    ],
    34: [
        "kb/test_knowledge_bases.py::one_bad_file_fails_alone",
        "kb/test_knowledge_bases.py::existing_files_and_override",
    ],
    35: [
        "kb/test_upkeep.py::read_again_with_another_chunking",
        "kb/test_upkeep.py::they_replace_what_the_file_says",
        "kb/test_knowledge_bases.py::with_and_without_content",
    ],
    36: [
        "kb/test_knowledge_bases.py::media_types",
        "kb/test_knowledge_bases.py::the_score_is_the_squared_distance",
    ],
    37: ["kb/test_upkeep.py::progress_and_what_is_kept"],
    38: [
        "test_main_job.py::every_format_and_encoding",
        "kb/test_knowledge_bases.py::what_needs_the_full_installation_is_refused_without_it",
    ],
    39: [
        "kb/test_splitters.py::size_and_overlap_are_honoured_in_characters",
        "kb/test_splitters.py::title_enhancement",
    ],
    40: [
        "live/test_processes.py::a_restart_keeps_everything_and_makes_nothing_twice",
        "kb/vectorstores/test_contract.py::searches_beside_changes",
    ],
    41: [
        "cli/test_maintenance.py::what_is_new_is_taken_in",
        "cli/test_maintenance.py::named_ones_and_the_layout_of_old",
    ],
    42: ["catalog/test_catalog.py::texts_are_embedded"],
    # Models, configuration, operations
    43: ["core/test_settings.py::precedence", "core/test_old_settings.py::an_original_file_works"],
    44: [
        "supervisor/test_options.py::what_a_command_line_starts",
        "live/test_local_models.py::lite_starts_no_local_model",
    ],
    45: ["core/test_settings.py::the_file_holds_the_defaults"],
    46: [
        "cli/test_maintenance.py::the_command_line_is_the_contracts",
        "cli/test_import_db.py::people_find_what_they_said",
        "cli/test_maintenance.py::only_what_knowledge_bases_are_made_of",
    ],
    47: ["catalog/test_catalog.py::the_models_are_listed_without_secrets"],
    48: [
        "core/test_old_settings.py::every_old_name_of_a_model_is_in_the_shipped_configuration",
        "kb/test_knowledge_bases.py::a_missing_model_says_where_to_put_it",
    ],
    49: [
        "chat/test_prompts.py::an_edit_is_seen_at_the_next_question",
        "chat/test_prompts.py::templates_are_listed_and_shown",
    ],
    50: [
        "catalog/test_catalog.py::the_facts_about_the_server",
        "catalog/test_catalog.py::running_are_those_that_can_answer",
    ],
    51: [
        "db/test_schema.py::the_migrations_make_the_tables",
        "db/test_schema.py::plain_urls_get_their_driver",
    ],
    52: ["contract/test_paths.py::business_errors_are_http_200"],
    53: ["test_pages.py::the_documentation_needs_no_other_host"],
    60: ["contract/test_paths.py::its_calls"],
}
# 45: OpenAI's protocol, 54: images and compose files, 55 to 59: the page. Later work.
LATER = {*range(54, 60)}


def _names(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    return {
        node.name.removeprefix("test_")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("point", sorted(set(range(1, 61)) - LATER))
def test_a_point_has_its_tests(point: int) -> None:
    tests = POINTS[point]
    assert tests
    for test in tests:
        file, name = test.split("::")
        assert name in _names(file), test


def test_nothing_is_both_held_and_later() -> None:
    assert not LATER & POINTS.keys()
