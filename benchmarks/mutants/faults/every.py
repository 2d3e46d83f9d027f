"""All mutants, family by family."""

from __future__ import annotations

from benchmarks.mutants.faults import cloning, imitation, networks, off_policy, on_policy, replay

MUTANTS = [
    *on_policy.MUTANTS,
    *off_policy.MUTANTS,
    *replay.MUTANTS,
    *networks.MUTANTS,
    *imitation.MUTANTS,
    *cloning.MUTANTS,
]

# Faults that change nothing, by which the list was cleared.
EQUIVALENT = (
    (
        "compute/trainer.py: target networks are not copied at the start",
        "they are deep copies, and every worker draws the same first weights from the seed; "
        "the copy is for a broadcast that changed them",
    ),
)
# Tests that were written for this audit, because nothing fast noticed such faults or only a launch of MPI did.
ADDED = tuple(
    f"tests/{path}.py::test_{name}"
    for path, names in {
        "agents/cloning/test_held_out": (
            "a_mean_over_rows_in_whatever_pieces",
            "a_linear_schedule_falls_to_nothing_and_a_constant_one_stays",
            "samples_are_in_the_unit_of_the_deviation",
        ),
        "agents/compute/test_trainer": ("target_networks_are_copied_from_those_that_learn",),
        "agents/imitation/test_inputs": ("an_absorbing_state_has_no_action",),
        "agents/imitation/test_inverse_dynamics": (
            "the_loss_is_the_squared_distance_from_what_reached_the_environment",
            "no_action_leads_to_an_absorbing_state_or_out_of_it",
        ),
        "agents/imitation/test_samples": (
            "samples_of_a_rollout_and_of_a_memory_come_of_each_environment",
            "a_discriminator_goes_through_all_demonstrations",
            "red_distils_all_demonstrations_into_the_predictor_alone",
        ),
        "agents/nn/test_batch_renorm": (
            "a_group_is_corrected_towards_the_running_moments_by_constants",
            "running_moments_go_a_hundredth_of_the_way",
        ),
        "agents/nn/test_critics": (
            "every_critic_has_its_say",
            "a_dueling_network_s_advantages_are_from_their_mean",
            "deviations_fill_their_range_and_noise_is_in_their_unit",
            "noise_on_a_deterministic_action_stays_within_the_bounds",
        ),
        "agents/nn/test_distributions": (
            "independent_choices_add_up_and_what_there_is_not_has_no_probability",
        ),
        "agents/nn/test_noise": (
            "no_number_comes_twice_whatever_the_block_or_the_environment",
            "a_step_has_the_same_numbers_however_it_is_come_to",
            "an_environment_has_the_same_numbers_on_whichever_worker",
        ),
        "agents/nn/test_normalizer": (
            "outliers_are_clipped_on_both_sides_and_units_are_deviations",
            "moments_of_two_workers_are_those_of_all_their_data",
            "a_deviation_far_below_the_mean_is_a_share_of_it_in_every_unit",
        ),
        "agents/off_policy/test_losses": (
            "a_target_by_hand",
            "critics_are_weighed_by_sample_and_summed",
            "the_soft_losses_and_what_each_moves",
            "huber_by_hand",
            "quantiles_by_loops",
        ),
        "agents/off_policy/test_priorities": (
            "rare_samples_weigh_more_and_fully_at_the_end",
            "an_error_is_the_mean_distance_of_the_critics",
        ),
        "agents/off_policy/test_schedules": (
            "a_linear_schedule_scales_every_rate_by_what_is_left",
            "delayed_steps_come_with_the_last_update_of_each_few",
            "target_networks_go_tau_of_the_way",
            "a_copy_is_due_whenever_a_period_is_passed_not_met",
            "epsilon_falls_over_the_first_part_and_random_actions_are_all_there_are",
            "exploring_adds_noise_of_its_deviation_within_the_bounds",
            "no_random_number_of_exploring_comes_twice",
            "each_loss_has_random_numbers_of_its_own",
            "moments_take_in_each_observation_once_and_losses_use_the_newest",
            "networks_are_given_this_and_the_next_observation_standardised_and_actions_in_their_units",
        ),
        "agents/off_policy/test_targets": (
            "a_target_is_that_of_the_equation",
            "a_policy_s_loss_is_minus_what_it_is_worth",
            "crossq_sees_both_actions_in_one_batch_and_learns_from_the_first",
            "crossq_s_statistics_move_and_correct_after_the_warm_up",
        ),
        "agents/on_policy/test_loss": (
            "the_loss_is_surrogate_value_and_entropy_as_they_are_weighed",
            "advantages_ask_the_value_of_the_true_successor",
            "advantages_follow_the_critic_from_epoch_to_epoch_where_they_are_to",
            "a_resumed_run_goes_on_at_its_rate_with_its_moments_and_new_noise",
            "moments_are_those_that_the_rollout_was_collected_under",
        ),
        "agents/on_policy/test_minibatches": (
            "environments_epochs_and_iterations_have_orders_of_their_own",
            "an_environment_has_the_same_order_on_whichever_worker",
            "advantages_are_in_the_unit_of_the_minibatch_of_all_workers",
        ),
        "agents/test_workers_in_threads": ("two_threads_learn_what_one_learns",),
        "helpers/test_seeding": (
            "every_name_has_a_stream_of_its_own",
            "a_name_has_the_same_stream_whenever_it_is_asked_for",
        ),
        "test_rollouts": ("each_row_is_one_step_with_its_true_successor",),
    }.items()
    for name in names
)
