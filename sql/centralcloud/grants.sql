grant execute on function centralcloud.search to centralcloud_reader;
grant execute on function centralcloud.status to centralcloud_reader;
grant execute on function centralcloud.statistics to centralcloud_reader;
-- the view usage calls it with the rights of who reads it
grant execute on function centralcloud.quota_of to centralcloud_reader;
grant execute on function centralcloud.digest to centralcloud_reader;
grant execute on function centralcloud.explain_confidence to centralcloud_reader;
grant execute on function centralcloud.explain_reputation to centralcloud_reader;
grant execute on function centralcloud.artifact_id to centralcloud_reader;
grant execute on function centralcloud.variant_of to centralcloud_reader;
-- the settings name it as a default
grant execute on function centralcloud.default_group_cap to centralcloud_reader;

grant execute on function centralcloud.dismiss_twin_alarm to centralcloud_curator;
grant execute on function centralcloud.enroll to centralcloud_curator;
grant execute on function centralcloud.retire_instance to centralcloud_curator;

grant execute on function centralcloud.grant_access to centralcloud_curator;
grant execute on function centralcloud.revoke_access to centralcloud_curator;
grant execute on function centralcloud.set_credential to centralcloud_curator;
grant execute on function centralcloud.nats_permissions to centralcloud_curator;
grant execute on function centralcloud.set_quota to centralcloud_curator;
grant execute on function centralcloud.set_trust to centralcloud_curator;

grant execute on function centralcloud.configure to centralcloud_admin;
grant execute on function centralcloud.rotate_key to centralcloud_admin;
grant execute on function centralcloud.rescore to centralcloud_admin;
grant execute on function centralcloud.replay_dead_letters to centralcloud_admin;
grant execute on function centralcloud.discard_dead_letters to centralcloud_curator, centralcloud_admin;
grant execute on function centralcloud.repair_versions to centralcloud_admin;
grant execute on function centralcloud.register_contract to centralcloud_admin;
grant execute on function centralcloud.ensure_indexes to centralcloud_admin;
grant execute on procedure centralcloud.maintain to centralcloud_admin;
grant execute on procedure centralcloud.reembed to centralcloud_admin;
-- what the procedures call with the rights of who calls them, since they commit
grant execute on procedure centralcloud.maintain_search to centralcloud_admin;
grant execute on function centralcloud.maintain_search_batch to centralcloud_admin;
grant execute on function centralcloud.reembed_batch to centralcloud_admin;
