"""Which attack is tried where. Each row is an attack of the threat model; each test it names must exist.

``protocol`` tests speak with the state machines of ``shared/secagg``, ``institution`` tests with a whole institution (signature,
policy, ledger, protocol) in the middle of a run, ``coordinator`` tests with a whole coordinator.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PROTOCOL = "tests/shared/secagg/attacks"
INSTITUTION = "tests/client/attacks/test_coordinator_lies.py"
COORDINATOR = "tests/server/attacks/test_institutions_lie.py"
LIES, SHARES, VIEWS = f"{PROTOCOL}/test_coordinator_lies.py", f"{PROTOCOL}/test_shares.py", f"{PROTOCOL}/test_two_views.py"
CORRUPT, FLIPS, FLOWER = f"{PROTOCOL}/test_institution_lies.py", f"{PROTOCOL}/test_flipped_bytes.py", f"{PROTOCOL}/test_flowers_faults.py"

MATRIX: dict[str, tuple[tuple[str, str], ...]] = {
    # The coordinator
    "swaps a key": (
        (LIES, "test_a_swapped_key"),
        (LIES, "test_a_swapped_key_after_the_first_round"),
        (INSTITUTION, "test_a_swapped_key"),
        (FLOWER, "test_our_coordinator_that_swaps_the_keys_is_refused_by_everyone_it_shows_them"),
    ),
    "gives one institution's key out as another's": ((LIES, "test_one_institutions_key_given_to_another"),),
    "adds a member who is not on the roster": (
        (LIES, "test_a_member_who_is_not_on_the_roster"),
        (INSTITUTION, "test_a_member_who_is_not_on_the_roster"),
    ),
    "brings another roster": ((LIES, "test_another_roster"), (INSTITUTION, "test_another_roster")),
    "replays a round": ((LIES, "test_a_replayed_round_and_an_older_one"), (INSTITUTION, "test_requests_that_are_played_again")),
    "reuses a round number with another plan": (
        (LIES, "test_another_plan_for_the_same_round"),
        (INSTITUTION, "test_a_round_number_with_another_plan"),
    ),
    "shows different plans or models": ((LIES, "test_plans_that_differ_between_institutions_give_nothing"),),
    "lowers a threshold": (
        (LIES, "test_a_lowered_threshold"),
        (LIES, "test_a_threshold_for_the_coordinators_bound_only"),
        (VIEWS, "test_the_low_threshold_is_refused"),
        (INSTITUTION, "test_a_plan_that_lowers_or_changes_something"),
    ),
    "loosens the clip": ((LIES, "test_plans_out_of_range"), (INSTITUTION, "test_a_plan_that_lowers_or_changes_something")),
    "asks a cohort that hides nobody": (
        (LIES, "test_a_cohort_that_hides_nobody"),
        (INSTITUTION, "test_a_plan_that_lowers_or_changes_something"),
    ),
    "shows different survivors to two groups": (
        (VIEWS, "test_two_sets_cannot_both_be_signed"),
        (VIEWS, "test_with_the_right_threshold_the_shares_do_not_suffice"),
        (INSTITUTION, "test_different_sets_for_two_groups"),
    ),
    "shows different survivors to every institution": (
        (VIEWS, "test_sets_below_the_threshold_are_refused"),
        (VIEWS, "test_sets_without_their_own_signatures_are_refused"),
        (INSTITUTION, "test_every_institution_is_shown_another_small_set"),
    ),
    "asks for both kinds of share": (
        (SHARES, "test_both_kinds_of_share_for_one_institution"),
        (FLOWER, "test_our_request_cannot_name_a_victim_on_both_sides"),
        (FLOWER, "test_our_institutions_do_not_answer_for_both_sides_in_two_requests"),
        (INSTITUTION, "test_both_kinds_of_share"),
        (INSTITUTION, "test_the_other_kind_of_share_before_any_is_given"),
    ),
    "moves a share to another receiver": (
        (SHARES, "test_a_share_moved_to_another_receiver"),
        (INSTITUTION, "test_shares_that_are_moved_mixed_up_or_changed"),
        (INSTITUTION, "test_a_request_for_another_institution_or_another_kind"),
    ),
    "leaves signatures out or brings others'": (
        (SHARES, "test_too_few_signatures_and_those_of_others"),
        (SHARES, "test_the_whole_cohort_needs_every_signature"),
        (INSTITUTION, "test_an_unproven_set"),
    ),
    "changes a bit of what it relays": (
        (FLIPS, "test_a_changed_train_request_is_refused_or_its_answer_counts_for_nothing"),
        (FLIPS, "test_a_changed_agree_request_is_refused"),
        (FLIPS, "test_a_changed_unmask_request_is_refused"),
        (FLIPS, "test_a_changed_open_request_gives_a_key_that_no_other_institution_takes"),
    ),
    "asks for a vector that nobody can hold": (
        ("tests/fuzzing/test_bombs.py", "test_a_plan_of_more_words_than_any_student_has"),
        (INSTITUTION, "test_a_plan_for_a_longer_vector_than_the_student"),
    ),
    "reads the institution's files through a model": (
        ("tests/shared/compress/test_graph.py", "test_weights_in_other_files_are_refused_wherever_they_hide"),
    ),
    # An institution
    "sends a wrong share": (
        (CORRUPT, "test_an_institution_that_lies_about_its_shares_is_named_and_left_out"),
        (CORRUPT, "test_too_many_liars_void_the_round"),
        (COORDINATOR, "test_wrong_shares_are_left_out_and_their_giver_named"),
    ),
    "sends a wrong commitment": (
        (CORRUPT, "test_a_wrong_commitment_to_a_self_mask_is_named"),
        (CORRUPT, "test_commitments_that_more_contradict_than_may_lie_are_left_out"),
        (COORDINATOR, "test_what_hides_behind_a_mask_voids_the_round_loudly_and_the_run_goes_on"),
    ),
    "has a NaN or infinite update": (
        (INSTITUTION, "test_a_contribution_that_must_not_leave"),
        ("tests/shared/secagg/test_encoding.py", "test_what_is_not_finite_is_refused_wherever_it_is"),
    ),
    "sends an oversized vector": (
        (COORDINATOR, "test_a_masked_answer_that_cannot_be_used_is_left_out_and_says_why"),
        ("tests/fuzzing/test_bombs.py", "test_a_masked_answer_of_a_billion_words_that_are_not_there"),
    ),
    "claims a wrong weight, or was not clipped": (
        (CORRUPT, "test_a_weight_out_of_range_voids_the_round"),
        (CORRUPT, "test_an_update_that_was_not_clipped_voids_the_round"),
    ),
    "signs a key that stops every round": (
        ("tests/server/test_epochs.py", "test_a_key_that_institutions_would_refuse_is_left_out_although_its_owner_signed_it"),
        (COORDINATOR, "test_a_key_that_cannot_be_used_is_its_owner_s_absence"),
    ),
    "speaks in another's name": ((COORDINATOR, "test_a_masked_answer_that_cannot_be_used_is_left_out_and_says_why"),),
    "answers in a strange form": ((COORDINATOR, "test_an_answer_of_a_strange_form_is_an_absence_or_a_refusal_and_garbles_no_terminal"),),
    # Somebody between them, or afterwards
    "changes a bit of a request": ((FLIPS, "test_a_request_that_was_changed_on_its_way"),),
    "changes a bit of an answer": (
        (FLIPS, "test_a_changed_key_is_refused_by_institutions_and_coordinator"),
        (FLIPS, "test_a_changed_masked_answer_is_left_out"),
        (FLIPS, "test_a_changed_agreement_is_left_out"),
        (FLIPS, "test_changed_shares_are_left_out"),
        (COORDINATOR, "test_a_changed_byte_in_an_answer_is_its_sender_s_absence"),
    ),
    "signs requests without the coordinator's key": ((INSTITUTION, "test_a_request_that_the_coordinator_did_not_sign"),),
    "steals every state after a round": (
        (f"{PROTOCOL}/test_forward_secrecy.py", "test_all_states_from_after_a_round_open_neither_it_nor_an_earlier_one"),
    ),
    "reads everything that passes, is logged or kept": (
        (f"{PROTOCOL}/test_leaks.py", "test_no_figure_of_one_institution_is_in_any_message"),
        (f"{PROTOCOL}/test_leaks.py", "test_no_figure_of_one_institution_is_logged_or_kept"),
        (f"{PROTOCOL}/test_leaks.py", "test_masked_bytes_of_two_runs_with_other_data_are_both_uniform"),
    ),
    "guesses a mask's seed": (
        (FLOWER, "test_every_bit_of_our_seed_counts"),
        (FLOWER, "test_seeds_that_fold_alike_give_other_masks_of_ours"),
    ),
    "sends bytes that are no message": (
        ("tests/fuzzing/test_parsers.py", "test_a_reader_of_foreign_bytes_reads_or_says_what_it_promised"),
        ("tests/fuzzing/test_requests.py", "test_whatever_the_coordinator_signs_is_answered_or_refused_by_name"),
    ),
}


@functools.cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


@pytest.mark.parametrize("attack", MATRIX)
def test_every_attack_is_tried_where_the_matrix_says(attack: str) -> None:
    assert MATRIX[attack]
    for path, name in MATRIX[attack]:
        assert name in names_in(path), f"{path} has no {name}"
