grant execute on function @extschema@.embed(text) to @extension@_reader;
grant execute on function @extschema@.embed_many(text[]) to @extension@_reader;
grant execute on function @extschema@.current_contract() to @extension@_reader;
-- what those call with the rights of who calls them
grant execute on function @extschema@.shipped_contract() to @extension@_reader;
grant execute on function @extschema@.load_model() to @extension@_reader;
grant execute on function @extschema@.server_files() to @extension@_reader;
grant execute on function @extschema@.vector_literals(text[]) to @extension@_reader;
grant execute on function @extschema@.to_unit_vector(text) to @extension@_reader;
