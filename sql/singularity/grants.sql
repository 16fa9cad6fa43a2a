-- the secret is nobody's
revoke all on singularity.seal_key from singularity_reader, singularity_bridge;

grant execute on function singularity.lookup to singularity_reader;
grant execute on function singularity.recall to singularity_reader;
grant execute on function singularity.explain_recall to singularity_reader;
grant execute on function singularity.related to singularity_reader;
grant execute on function singularity.history to singularity_reader;
grant execute on function singularity.alternatives to singularity_reader;
grant execute on function singularity.ask to singularity_reader;
grant execute on function singularity.question_state to singularity_reader;
grant execute on procedure singularity.await_answer to singularity_reader;
grant execute on function singularity.status to singularity_reader;
grant execute on function singularity.digest to singularity_reader;
grant execute on function singularity.artifact_id to singularity_reader;
grant execute on function singularity.variant_of to singularity_reader;
grant execute on function singularity.sharing_of to singularity_reader;
grant execute on function singularity.held_entries to singularity_reader;
grant execute on function singularity.sharing_preview to singularity_reader;

grant execute on function singularity.learn to singularity_writer;
grant execute on function singularity.learn_many to singularity_writer;
grant execute on function singularity.record_outcome to singularity_writer;
grant execute on function singularity.forget to singularity_writer;
grant execute on function singularity.follow to singularity_writer;
grant execute on function singularity.unfollow to singularity_writer;
grant execute on procedure singularity.reconcile to singularity_writer;

-- what procedures call with the rights of who calls them, since they commit
grant execute on function singularity.want_reconciliation to singularity_writer;
grant execute on function singularity.is_reconciling to singularity_writer;
grant execute on function singularity.check_timeout to singularity_reader;
grant execute on function singularity.is_awaited to singularity_reader;
grant execute on function singularity.next_pause to singularity_reader;

grant execute on function singularity.configure to singularity_admin;
grant execute on function singularity.connect to singularity_admin;
grant execute on function singularity.disconnect to singularity_admin;
grant execute on function singularity.share to singularity_admin;
grant execute on function singularity.release to singularity_admin;
grant execute on function singularity.reidentify to singularity_admin;
grant execute on procedure singularity.keep_identity to singularity_admin;
grant execute on function singularity.replay_dead_letters to singularity_admin;
grant execute on function singularity.discard_dead_letters to singularity_admin;
grant execute on function singularity.repair_versions to singularity_admin;
grant execute on function singularity.trust_authority to singularity_admin;
grant execute on function singularity.rotate_key to singularity_admin;
-- each contract is an index more that every learning pays for
grant execute on function singularity.register_contract to singularity_admin;
-- who keeps a transaction open after one of these holds up everybody
grant execute on function singularity.ensure_indexes to singularity_admin;
grant execute on procedure singularity.maintain to singularity_admin;
grant execute on procedure singularity.reembed to singularity_admin;
grant execute on procedure singularity.maintain_search to singularity_admin;
grant execute on function singularity.maintain_batch to singularity_admin;
grant execute on function singularity.maintain_search_batch to singularity_admin;
grant execute on function singularity.reembed_batch to singularity_admin;
