grant execute on function centralcloud.search(text, text, text, text[], integer) to centralcloud_reader;
grant execute on function centralcloud.status() to centralcloud_reader, centralcloud_bridge;
grant execute on function centralcloud.statistics() to centralcloud_reader;
grant execute on function centralcloud.artifact_id(text, text, text) to centralcloud_reader;
grant execute on function centralcloud.variant_of(jsonb) to centralcloud_reader;

grant execute on function centralcloud.configure(jsonb) to centralcloud_curator;
grant execute on function centralcloud.rescore(timestamptz) to centralcloud_curator;
grant execute on function centralcloud.replay_dead_letters() to centralcloud_curator;
