grant execute on procedure @extschema@.try_commit to @extension@_reader;
