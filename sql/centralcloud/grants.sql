grant execute on function centralcloud.search(text, text, text, text[], integer, double precision, centralcloud.level)
to centralcloud_reader;
grant execute on function centralcloud.status() to centralcloud_reader, centralcloud_bridge;
grant execute on function centralcloud.troubles(boolean) to centralcloud_reader, centralcloud_bridge;
grant execute on function centralcloud.statistics() to centralcloud_reader;
grant execute on function centralcloud.digest(uuid, text) to centralcloud_reader;
grant execute on function centralcloud.artifact_id(text, text, text) to centralcloud_reader;
grant execute on function centralcloud.variant_of(jsonb) to centralcloud_reader;
-- the settings name it as a default
grant execute on function centralcloud.default_group_cap() to centralcloud_reader, centralcloud_bridge;

grant execute on function centralcloud.configure(jsonb) to centralcloud_curator;
grant execute on function centralcloud.rescore(timestamptz) to centralcloud_curator;
grant execute on function centralcloud.replay_dead_letters() to centralcloud_curator;
grant execute on function centralcloud.dismiss_twin_alarm(uuid) to centralcloud_curator;

grant execute on function centralcloud.register_contract(text, text, text, integer, boolean) to centralcloud_curator;
grant execute on function centralcloud.ensure_indexes() to centralcloud_curator;
grant execute on procedure centralcloud.maintain() to centralcloud_curator;
grant execute on procedure centralcloud.reembed() to centralcloud_curator;
-- what the procedures call with the rights of who calls them, since they commit
grant execute on procedure centralcloud.maintain_search() to centralcloud_curator;
grant execute on function centralcloud.check_documents(bigint) to centralcloud_curator;
grant execute on function centralcloud.fold_lexemes(bigint) to centralcloud_curator;
grant execute on function centralcloud.index_vectors(bigint) to centralcloud_curator;
grant execute on function centralcloud.outdated_documents(bigint, integer) to centralcloud_curator;
grant execute on function centralcloud.index_artifacts(uuid[], boolean, boolean) to centralcloud_curator;
