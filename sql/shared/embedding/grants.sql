grant execute on function @extschema@.embed to @extension@_reader;
grant execute on function @extschema@.embed_many to @extension@_reader;
grant execute on function @extschema@.current_contract to @extension@_reader;
-- what those call with the rights of who calls them
grant execute on function @extschema@.shipped_contract to @extension@_reader;
grant execute on function @extschema@.load_model to @extension@_reader;
grant execute on function @extschema@.server_files to @extension@_reader;
grant execute on function @extschema@.vector_literals to @extension@_reader;
grant execute on function @extschema@.to_unit_vector to @extension@_reader;
