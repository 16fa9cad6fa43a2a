grant execute on function @extschema@.relevance to @extension@_reader;
grant execute on function @extschema@.score to @extension@_reader;
