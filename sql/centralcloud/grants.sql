grant execute on function centralcloud.search to centralcloud_reader;
grant execute on function centralcloud.status to centralcloud_reader, centralcloud_bridge;
grant execute on function centralcloud.troubles to centralcloud_reader, centralcloud_bridge;
grant execute on function centralcloud.statistics to centralcloud_reader;
grant execute on function centralcloud.digest to centralcloud_reader;
grant execute on function centralcloud.explain_confidence to centralcloud_reader;
grant execute on function centralcloud.explain_reputation to centralcloud_reader;
grant execute on function centralcloud.artifact_id to centralcloud_reader;
grant execute on function centralcloud.variant_of to centralcloud_reader;
-- the settings name it as a default
grant execute on function centralcloud.default_group_cap to centralcloud_reader, centralcloud_bridge;

grant execute on function centralcloud.configure to centralcloud_curator;
grant execute on function centralcloud.rescore to centralcloud_curator;
grant execute on function centralcloud.set_trust to centralcloud_curator;
grant execute on function centralcloud.replay_dead_letters to centralcloud_curator;
grant execute on function centralcloud.dismiss_twin_alarm to centralcloud_curator;

grant execute on function centralcloud.register_contract to centralcloud_curator;
grant execute on function centralcloud.ensure_indexes to centralcloud_curator;
grant execute on procedure centralcloud.maintain to centralcloud_curator;
grant execute on procedure centralcloud.reembed to centralcloud_curator;
-- what the procedures call with the rights of who calls them, since they commit
grant execute on procedure centralcloud.maintain_search to centralcloud_curator;
grant execute on function centralcloud.check_documents to centralcloud_curator;
grant execute on function centralcloud.fold_lexemes to centralcloud_curator;
grant execute on function centralcloud.index_vectors to centralcloud_curator;
grant execute on function centralcloud.outdated_documents to centralcloud_curator;
grant execute on function centralcloud.index_artifacts to centralcloud_curator;
