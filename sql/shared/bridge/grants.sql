-- Nothing is anybody's unless it is granted below this line of the manifest.
revoke all on all routines in schema @extschema@ from public;

grant usage on schema @extschema@ to @extension@_reader, @extension@_bridge;
grant select on all tables in schema @extschema@ to @extension@_reader;

grant execute on function @extschema@.bridge_attach to @extension@_bridge;
grant execute on function @extschema@.bridge_detach to @extension@_bridge;
grant execute on function @extschema@.bridge_plan to @extension@_bridge;
grant execute on function @extschema@.bridge_arm to @extension@_bridge;
grant execute on function @extschema@.bridge_outgoing to @extension@_bridge;
grant execute on function @extschema@.bridge_result to @extension@_bridge;
grant execute on function @extschema@.bridge_receive to @extension@_bridge;
grant execute on function @extschema@.bridge_put_aside to @extension@_bridge;
grant execute on function @extschema@.bridge_serve(text, bytea) to @extension@_bridge;
grant execute on function @extschema@.bridge_tick to @extension@_bridge;
-- what singularity-bridge check tells
grant execute on function @extschema@.bridge_holder to @extension@_bridge;
grant execute on function @extschema@.troubles to @extension@_reader, @extension@_bridge;
-- the view dead_letters calls them with the rights of who reads it
grant execute on function @extschema@.letter_sender to @extension@_reader;
grant execute on function @extschema@.printable to @extension@_reader;
-- the view configuration calls them with the rights of who reads it
grant execute on function @extschema@.setting_definitions to @extension@_reader;
grant execute on function @extschema@.get_setting to @extension@_reader;
