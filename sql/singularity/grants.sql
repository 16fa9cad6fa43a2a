grant execute on function singularity.lookup(text, text, text) to singularity_reader;
grant execute on function singularity.recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
) to singularity_reader;
grant execute on function singularity.explain_recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
) to singularity_reader;
grant execute on function singularity.related(text, text, text, integer) to singularity_reader;
grant execute on function singularity.history(text, text, text) to singularity_reader;
grant execute on function singularity.ask(text, text, text) to singularity_reader;
grant execute on function singularity.question_state(uuid) to singularity_reader;
grant execute on procedure singularity.await_answer(uuid, interval) to singularity_reader;
grant execute on function singularity.status() to singularity_reader, singularity_bridge;
grant execute on function singularity.troubles(boolean) to singularity_reader, singularity_bridge;
grant execute on function singularity.digest(text) to singularity_reader;
grant execute on function singularity.artifact_id(text, text, text) to singularity_reader;
grant execute on function singularity.variant_of(jsonb) to singularity_reader;

grant execute on function singularity.learn(text, text, jsonb, text, text[], text, boolean, vector, text)
to singularity_writer;
grant execute on function singularity.learn_many(jsonb) to singularity_writer;
grant execute on function singularity.record_outcome(text, text, boolean, text, text) to singularity_writer;
grant execute on function singularity.forget(text, text, text, boolean) to singularity_writer;
grant execute on function singularity.follow(text, text) to singularity_writer;
grant execute on function singularity.unfollow(text, text) to singularity_writer;
grant execute on function singularity.connect(text) to singularity_writer;
grant execute on function singularity.disconnect() to singularity_writer;
grant execute on function singularity.configure(text, text, jsonb) to singularity_writer;
grant execute on function singularity.replay_dead_letters() to singularity_writer;
grant execute on function singularity.reidentify() to singularity_writer;
grant execute on procedure singularity.keep_identity() to singularity_writer;
grant execute on procedure singularity.reconcile(interval) to singularity_writer;

grant execute on function singularity.register_contract(text, text, text, integer, boolean) to singularity_writer;
grant execute on function singularity.ensure_indexes() to singularity_writer;
grant execute on procedure singularity.maintain() to singularity_writer;
grant execute on procedure singularity.reembed() to singularity_writer;
-- what the procedures call with the rights of who calls them, since they commit
grant execute on procedure singularity.maintain_search() to singularity_writer;
grant execute on function singularity.check_documents(bigint) to singularity_writer;
grant execute on function singularity.fold_lexemes(bigint) to singularity_writer;
grant execute on function singularity.index_vectors(bigint) to singularity_writer;
grant execute on function singularity.outdated_documents(bigint, integer) to singularity_writer;
grant execute on function singularity.index_artifacts(uuid[], boolean, boolean) to singularity_writer;
grant execute on function singularity.fold_outcomes(integer) to singularity_writer;
grant execute on function singularity.expire_questions() to singularity_writer;
grant execute on function singularity.is_online() to singularity_writer;
grant execute on function singularity.retry_refused() to singularity_writer;
grant execute on function singularity.want_comparison() to singularity_writer;
grant execute on function singularity.is_reconciled(timestamptz) to singularity_writer;
grant execute on function singularity.ring_doorbell() to singularity_writer;
