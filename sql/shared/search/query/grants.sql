grant execute on function @extschema@.relevance to @extension@_reader;
