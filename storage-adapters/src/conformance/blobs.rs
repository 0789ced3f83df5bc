//! The sentences of the contract of [`BlobStore`](crate::BlobStore): their list. No I/O here.

pub use super::{lists::*, puts::*, reads::*};

#[doc(hidden)]
#[macro_export]
macro_rules! for_each_blob_sentence {
    ($open:ident) => {
        $crate::conformance_tests! {
            blobs, $crate::conformance::Subject::new, $open,
            a_blob_reads_back_with_its_body_and_metadata
            a_put_returns_the_state_that_is_read_afterwards
            overwrite_creates_what_is_absent
            overwrite_replaces_what_is_there_and_its_metadata
            if_absent_creates_what_is_absent
            if_absent_conflicts_with_a_blob_and_leaves_it
            if_version_replaces_exactly_that_state
            if_version_conflicts_with_another_state_and_leaves_it
            if_version_conflicts_with_an_absent_blob
            if_version_conflicts_with_a_deleted_blob
            of_many_concurrent_creations_one_wins
            of_many_concurrent_replacements_of_one_state_one_wins
            no_step_of_concurrent_counting_is_lost
            concurrent_overwrites_all_succeed_and_one_of_them_stays
            creations_and_deletions_at_once_leave_a_whole_blob_or_none
            states_of_different_bytes_have_different_versions
            an_empty_body_is_a_blob
            a_body_of_64_mib_reads_back
            illegal_metadata_is_invalid_input
            the_most_metadata_reads_back
            too_much_metadata_is_invalid_input
            every_legal_character_makes_a_key
            keys_that_differ_only_in_case_are_two_blobs
            the_longest_keys_are_kept
            a_blob_and_blobs_below_its_key_live_side_by_side
            a_streamed_body_reads_back
            a_streamed_body_of_64_mib_reads_back
            an_empty_stream_is_an_empty_blob
            a_streamed_put_honours_its_condition
            of_many_concurrent_streamed_creations_one_wins
            a_body_that_yields_an_error_stores_nothing_and_returns_it
            a_streamed_put_dropped_while_its_body_arrives_stores_nothing
            a_copy_has_the_body_and_the_metadata
            an_empty_blob_is_copied
            a_copy_lives_on_when_the_original_goes
            a_copy_of_an_absent_blob_is_not_found
            a_copy_onto_a_blob_conflicts_and_leaves_it
            a_deleted_blob_is_gone
            deleting_an_absent_blob_is_a_success
            a_deleted_key_can_be_created_again
            a_get_of_an_absent_blob_is_not_found
            a_get_below_a_blob_is_not_found
            a_range_yields_its_bytes
            a_range_of_a_large_blob_yields_its_bytes
            a_range_is_clipped_to_the_end_of_the_blob
            a_range_that_starts_at_or_beyond_the_end_yields_no_bytes
            an_empty_range_yields_no_bytes
            a_get_of_a_named_state_reads_it
            a_get_of_another_state_than_is_there_conflicts
            a_get_of_a_named_state_of_an_absent_blob_is_not_found
            a_blob_says_how_large_it_is_and_when_it_was_written
            a_head_says_the_same_as_a_get
            a_head_of_an_absent_blob_is_not_found
            a_body_is_of_one_state_however_long_reading_takes
            a_reader_sees_one_body_with_its_own_metadata_while_it_is_replaced
            a_write_that_returned_is_seen_by_every_read
            a_listing_of_nothing_is_empty
            a_listing_has_exactly_the_keys_that_start_with_its_prefix
            a_prefix_may_end_within_a_segment
            a_prefix_that_begins_no_key_finds_nothing
            a_listing_is_in_byte_order_of_its_keys
            a_listing_begins_after_the_given_key
            the_key_to_begin_after_need_not_exist
            a_listing_says_the_same_as_a_head
            a_listing_may_be_dropped_before_it_ends
            a_listing_of_10_000_keys_has_each_once_while_others_come_and_go
            a_blob_replaced_during_a_listing_is_listed_once
        }
    };
}
