//! The promises of every ledger: plain functions of a ledger and its clock, run by one list on every store.
//!
//! `money`: promises 1, 2 and 4 of the design. `ids`: the same id again. `holds`: promise 3 and the rules of holds. `grants`: what is told of grants and
//! what time does to them. `callers`: whose word counts. `caps`: limits. `crowd`: many at once. `once`: idempotency keys of clients. `reads`: what can be seen. `memos`: what lies
//! beside the books.

use std::pin::Pin;
use std::sync::Arc;

use faregate::ledger::Ledger;
use faregate::ledger::memos::Memos;

use super::fixture::{Fixture, TestClock};
use crate::rig::within;

mod callers;
mod caps;
mod crowd;
mod grants;
mod holds;
mod ids;
mod memos;
mod money;
mod once;
mod reads;

/// What a promise is given: a ledger of its own, for as long as it likes.
pub(crate) struct Given {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) memos: Arc<dyn Memos>,
    pub(crate) clock: Arc<dyn TestClock>,
}

/// A promise's proof; it panics when it is broken.
type Proof = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The promise's name and proof.
type Promise = (&'static str, fn(Given) -> Proof);

/// Names functions of `(&dyn Ledger, &dyn TestClock)` once, for the list.
macro_rules! promises {
    ($($group:ident: $($name:ident)+;)+) => {
        /// Every promise.
        pub(crate) const ALL: &[Promise] = &[
            $($((
                concat!(stringify!($group), "::", stringify!($name)),
                |given| Box::pin(async move { $group::$name(&*given.ledger, &*given.clock).await }),
            ),)+)+
        ];
    };
}

promises! {
    money:
        p1_a_request_gets_what_it_asks_or_all_there_is_or_nothing
        p1_available_never_goes_below_the_credit_line
        p1_only_what_lies_below_the_credit_line_is_an_exception
        p1_below_zero_only_by_named_exceptions
        p2_granted_is_available_held_spent_expired_and_voided
        p4_the_journal_explains_every_change
        p4_rebuilding_from_the_journal_changes_nothing
        amounts_up_to_the_last_micro_credit_are_exact
        amounts_beyond_the_last_micro_credit_are_refused_or_cut
        t2_time_never_goes_back_whatever_the_clock_says;
    ids:
        p2_the_same_id_again_gets_the_first_answer
        p2_the_same_id_with_other_content_is_refused
        an_adjustment_needs_a_name_for_its_gift
        p2_a_repeat_changes_nothing_whatever_happened_since
        a3_a_hold_whose_answer_was_lost_is_found_by_its_id
        a4_a_capture_whose_answer_was_lost_is_charged_once
        b3_a_dropped_call_is_decided_once
        t4_an_id_is_its_accounts_alone
        ids_too_old_or_from_the_future_open_nothing
        an_ended_hold_is_remembered_for_half_an_hour
        a_corrected_hold_is_remembered_from_its_correction;
    holds:
        p3_a_hold_that_nobody_settles_ends_within_its_time
        p3_a_renewed_hold_lives_on
        p3_a_hold_ends_once
        a_charge_gives_back_the_rest
        a_charge_beyond_the_hold_is_taken_from_available
        b20_a_late_capture_counts_once
        b20_a_late_capture_corrects_a_charge_by_time
        only_an_open_hold_is_extended_by_the_next_number
        an_extension_takes_no_more_than_there_is
        a_free_request_holds_nothing
        what_is_not_there_is_refused;
    grants:
        they_start_and_expire_by_the_stores_clock
        they_burn_in_order
        a_grant_under_a_hold_loses_only_what_is_neither_spent_nor_held
        what_is_left_of_an_ended_grant_is_for_its_holds_alone
        what_an_extension_adds_lies_under_the_same_grants
        an_expiry_moved_later_brings_back_what_expired
        an_expiry_moved_earlier_takes_effect_at_once
        a_void_is_final_and_takes_the_unspent
        older_news_of_a_grant_changes_nothing
        what_is_clawed_back_goes_from_its_own_grant_first
        what_is_clawed_back_leaves_what_is_held
        a_debt_is_paid_by_the_next_grant
        a_debt_is_paid_by_a_grant_whose_end_went_by_unseen
        an_account_has_so_many_live_grants_and_no_more
        all_that_was_ever_granted_stays_exact
        a_void_that_no_number_can_say_is_refused
        news_of_a_grant_that_never_counted_moves_nothing;
    callers:
        a_revoked_key_stops_at_once
        a_paused_account_stops_at_once_and_reasons_are_kept_apart
        a_changed_plan_or_cap_is_noticed
        an_expired_key_stops
        a_settled_charge_needs_no_current_caller
        settings_said_twice_change_nothing
        a_decision_on_an_older_version_is_outdated
        a_key_belongs_to_one_account
        an_account_has_so_many_keys_and_no_more
        a_key_that_was_refused_may_become_anothers;
    caps:
        requests_per_minute
        tokens_per_minute
        concurrent_holds
        spend_per_day_counts_what_is_held
        spend_per_month_outlives_the_day
        caps_on_spending_are_used_up_to_the_last
        a_cap_of_nothing_lets_nothing_through
        a_key_has_caps_of_its_own
        a_refusal_counts_towards_nothing;
    crowd:
        t3_exactly_as_many_pass_as_can_pay
        t4_many_repeats_of_one_request_are_one_request
        b20_expiry_and_capture_race_to_one_end
        a_crowd_of_everything_leaves_the_books_right;
    once:
        t4_requests_under_one_key_make_one_charge
        a_request_that_is_not_charged_gives_its_key_back
        a_key_counts_for_one_account_and_not_for_free_requests
        a_key_opens_nothing_to_who_is_shut_out
        a_key_is_remembered_as_long_as_its_hold
        t4_many_at_once_under_one_key_are_one_request;
    reads:
        accounts_are_listed_once_each
        entries_come_newest_first_in_pages
        a_holds_entries_tell_its_story
        usage_is_summed_by_day
        keys_and_identities
        the_journal_has_every_entry_without_gaps
        unusual_names_are_kept_as_they_are
        a_statement_changes_nothing;
}

/// Names functions of what is given.
macro_rules! promises_of_memos {
    ($($name:ident)+) => {
        /// The promises about memos.
        const OF_MEMOS: &[Promise] = &[
            $((concat!("memos::", stringify!($name)), |given| Box::pin(memos::$name(given))),)+
        ];
    };
}

promises_of_memos! {
    what_is_written_is_read_again
    a_write_over_another_version_is_told_what_is_there
    a_write_whose_answer_was_lost_can_be_asked_again
    of_many_at_once_one_writes_each_version
    due_ones_come_in_the_order_of_their_time
    a_forgotten_one_was_never_written
    what_is_forgotten_is_swept
    a_kind_is_listed_in_pages_while_others_write
    a_page_has_so_many_bytes_and_no_more
    unusual_names_share_nothing
    what_is_too_long_is_refused
}

/// Proves every promise on a store, one after the other, and names all that are broken. `FAREGATE_PROMISE=part-of-a-name` proves only those.
pub(crate) async fn prove_all(fixture: &dyn Fixture) {
    let wanted = std::env::var("FAREGATE_PROMISE").unwrap_or_default();
    let mut broken = Vec::new();
    let all = ALL.iter().chain(OF_MEMOS);
    for (name, promise) in all.filter(|(name, _)| name.contains(&wanted)) {
        let fresh = fixture.fresh().await;
        let given = Given {
            ledger: fresh.ledger,
            memos: fresh.memos,
            clock: fresh.clock,
        };
        // A task of its own, so that the panic of one leaves the others their turn; it has been printed by then.
        let proof = tokio::spawn(within(*name, promise(given)));
        if proof.await.is_err() {
            broken.push(*name);
        }
    }
    assert!(
        broken.is_empty(),
        "the {} ledger breaks {} of {} promises: {broken:#?}",
        fixture.name(),
        broken.len(),
        ALL.len() + OF_MEMOS.len()
    );
}
