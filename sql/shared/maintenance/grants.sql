grant execute on procedure @extschema@.try_commit(boolean) to @extension@_reader;
